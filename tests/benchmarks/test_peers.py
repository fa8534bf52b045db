"""The contenders as they are, each in its own process, on a few images."""

import pathlib

import pytest

from benchmarks import scoring
from benchmarks.contenders import ALL, CEILING, DIGITMILL, Contender, Model
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
    model = Model("dense-128", "litert", bundle_path)
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
def test_eight_bits_are_scored_by_both_who_run_them(workspace: Workspace, bundle_path: pathlib.Path) -> None:
    model = Model("dense-128", "litert_int8", bundle_path)
    first, second = (
        scoring.one(workspace, model, contender, section="scoring", images=IMAGES, turn=1).right
        for contender in (CEILING, DIGITMILL)
    )
    assert first == second > IMAGES / 2
