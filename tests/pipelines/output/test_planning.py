import dataclasses
import pathlib

import pytest

from digitmill.engines.bundle_loader import Bundle
from digitmill.storage.local_output import LocalFolder
from pipelines.output.planning import make_plan
from pipelines.score_options import ScoreOptions
from schemas.errors import UserError
from schemas.run_plan import RunPlan


@pytest.fixture
def options(tmp_path: pathlib.Path, bundle: Bundle) -> ScoreOptions:
    for name in ("list", "labels"):
        (tmp_path / name).write_text("path,label\na.png,3\n")
    return ScoreOptions(
        (),
        bundle.path,
        str(tmp_path / "out"),
        input_list=tmp_path / "list",
        labels=str(tmp_path / "labels"),
    )


def plan(options: ScoreOptions, bundle: Bundle, begun: RunPlan | None = None) -> RunPlan:
    return make_plan(options, bundle, begun=begun, output=LocalFolder(pathlib.Path(options.output)))


def test_a_resumed_run_keeps_its_plan(options: ScoreOptions, bundle: Bundle) -> None:
    begun = plan(options, bundle)
    assert plan(options, bundle, begun) is begun


@pytest.mark.parametrize("name", ["list", "labels"])
def test_a_changed_input_list_makes_another_run(
    options: ScoreOptions, bundle: Bundle, tmp_path: pathlib.Path, name: str
) -> None:
    begun = plan(options, bundle)
    (tmp_path / name).write_text("path,label\na.png,4\n")
    with pytest.raises(UserError, match="list_digest is" if name == "list" else "labels_digest is"):
        plan(options, bundle, begun)


def test_another_input_list_with_equal_content_makes_another_run(
    options: ScoreOptions, bundle: Bundle, tmp_path: pathlib.Path
) -> None:
    begun = plan(options, bundle)
    other = dataclasses.replace(options, input_list=tmp_path / "labels")
    with pytest.raises(UserError, match=r"input_list is '.*list' there and '.*labels' here"):
        plan(other, bundle, begun)
