import math
import pathlib

import pytest

from benchmarks import scoring
from benchmarks.contenders import Model
from benchmarks.predictions import PredictionsError
from benchmarks.process import memory_of
from benchmarks.workspace import Workspace
from digitmill.machine import cpu_count
from tests.benchmarks.stand_ins import forgetful, local

MODEL = Model("dense-300-100")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("bench"))


def test_everybody_has_a_turn_in_each_round(workspace: Workspace) -> None:
    contenders = [local("A"), local("B")]
    runs = list(scoring.scoring(workspace, MODEL, contenders=contenders, images=20, rounds=2))
    assert [(run.turn, run.contender) for run in runs] == [(0, "A"), (0, "B"), (1, "A"), (1, "B")]
    for run in runs:
        assert (run.section, run.model, run.images, run.right) == ("scoring", "dense-300-100", 20, 20)
        assert run.pipeline_seconds == 0.02
        assert run.command_seconds > 0
        assert run.cores == cpu_count()


def test_memory_is_sampled_in_the_first_round_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    run = scoring.process.run

    def spy(*arguments: object, **options: object) -> object:
        asked.append(options["memory"])
        return run(*arguments, **options)

    monkeypatch.setattr(scoring.process, "run", spy)
    list(scoring.scoring(workspace, MODEL, contenders=[local("A"), local("B")], images=5, rounds=2))
    assert asked == [memory_of, memory_of, None, None]


def test_outputs_are_removed(workspace: Workspace) -> None:
    list(scoring.scoring(workspace, MODEL, contenders=[local("A")], images=5, rounds=1))
    assert not list((workspace.folder / "output").iterdir())


def test_who_loses_an_image_ends_the_measuring(workspace: Workspace) -> None:
    with pytest.raises(PredictionsError, match="19 rows for 19 images of 20"):
        list(scoring.scoring(workspace, MODEL, contenders=[forgetful("A")], images=20, rounds=1))


def test_cores_take_turns(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "DIGITMILL", local("digitmill"))
    runs = list(scoring.cores(workspace, MODEL, images=5, rounds=2))
    assert [(run.turn, run.cores) for run in runs] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert {run.section for run in runs} == {"cores"}


def test_the_start_is_the_help_and_a_small_folder(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "DIGITMILL", local("digitmill"))
    runs = list(scoring.start(workspace, MODEL, rounds=1))
    assert [(run.contender, run.images) for run in runs] == [("--help", 0), ("digitmill", scoring.FEW)]
    assert math.isnan(runs[0].pipeline_seconds)
    assert {run.section for run in runs} == {"start"}


def test_images_of_one_size_are_shared(workspace: Workspace, tmp_path: pathlib.Path) -> None:
    assert workspace.images(5) == workspace.images(5)
