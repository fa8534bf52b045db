"""The contenders as they are, each in its own process, on a few images."""

import pathlib

import pytest

from benchmarks import scoring
from benchmarks.contenders import ALL, CEILING, Contender, Model
from benchmarks.workspace import Workspace

IMAGES = 50


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def right(workspace: Workspace, bundle_path: pathlib.Path) -> int:
    """How many of the images the ceiling has right."""
    return _one(workspace, bundle_path, CEILING).right


def _one(workspace: Workspace, bundle_path: pathlib.Path, contender: Contender) -> scoring.Run:
    model = Model("dense-128", bundle_path, "litert")
    return scoring.one(workspace, model, contender, section="scoring", images=IMAGES, turn=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "contender",
    [
        pytest.param(
            contender,
            id=contender.name,
            marks=pytest.mark.skipif(not contender.installed, reason="install digitmill[bench]"),
        )
        for contender in ALL
        if contender is not CEILING
    ],
)
def test_each_gives_the_same_answers(
    workspace: Workspace, bundle_path: pathlib.Path, right: int, contender: Contender
) -> None:
    run = _one(workspace, bundle_path, contender)
    # The same weights: no network answers half of the digits right by chance.
    assert run.right == right > IMAGES / 2
    assert 0 < run.pipeline_seconds < run.command_seconds
    assert run.peak_bytes > 0


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["litert_int8", "openvino", "openvino_int8"])
def test_the_ceiling_runs_every_engine(
    workspace: Workspace, bundle_path: pathlib.Path, right: int, engine: str
) -> None:
    model = Model("dense-128", bundle_path, engine)
    run = scoring.one(workspace, model, CEILING, section="scoring", images=IMAGES, turn=1)
    # Eight bits may decide a digit differently.
    assert abs(run.right - right) <= 1
