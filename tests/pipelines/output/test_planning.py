import dataclasses
import pathlib

import pytest

from digitmill.commands import OptionGroup, flag
from digitmill.engines.bundle_loader import Bundle
from digitmill.storage.local_output import LocalFolder
from pipelines.output.planning import make_plan
from pipelines.score_options import ScoreOptions
from schemas.errors import UserError
from schemas.prediction import Pages
from schemas.run_plan import RunPlan


@pytest.fixture
def options(tmp_path: pathlib.Path, bundle: Bundle) -> ScoreOptions:
    for name in ("list", "labels"):
        (tmp_path / name).write_text("path,label\na.png,3\n")
    return ScoreOptions(
        (), bundle.place, str(tmp_path / "out"), input_list=tmp_path / "list", labels=str(tmp_path / "labels")
    )


def plan(options: ScoreOptions, bundle: Bundle, begun: RunPlan | None = None) -> RunPlan:
    return make_plan(options, bundle, begun=begun, output=LocalFolder(pathlib.Path(options.output)))


def test_a_resumed_run_keeps_its_plan(options: ScoreOptions, bundle: Bundle) -> None:
    begun = plan(options, bundle)
    assert plan(options, bundle, begun) is begun


@dataclasses.dataclass(frozen=True)
class InkOptions(ScoreOptions):
    """What the next version may take: one field more."""

    ink: str | None = flag("Color of the ink.", group=OptionGroup("Input"))


def test_a_flag_that_is_added_in_one_place_is_planned_and_compared(
    options: ScoreOptions, bundle: Bundle
) -> None:
    begun = plan(options, bundle)
    same, other = InkOptions(**vars(options)), InkOptions(**vars(options), ink="blue")
    assert plan(other, bundle).settings["ink"] == "blue"
    assert plan(same, bundle, begun) is begun
    with pytest.raises(UserError, match="ink was None and is now 'blue'"):
        plan(other, bundle, begun)


def test_a_plan_of_a_version_without_a_flag_is_resumed_unless_the_flag_is_given(
    options: ScoreOptions, bundle: Bundle
) -> None:
    begun = plan(options, bundle)
    older = {
        name: value for name, value in begun.settings.items() if name not in ("sample", "retry_failures")
    }
    begun = dataclasses.replace(begun, settings=older)
    assert plan(options, bundle, begun) is begun
    with pytest.raises(UserError, match="sample was None and is now 5"):
        plan(dataclasses.replace(options, sample=5), bundle, begun)


def test_a_run_of_a_version_that_scored_first_pages_is_not_resumed_with_all(
    options: ScoreOptions, bundle: Bundle
) -> None:
    begun = plan(options, bundle)
    older = {name: value for name, value in begun.settings.items() if name != "pages"}
    begun = dataclasses.replace(begun, settings=older)
    with pytest.raises(UserError, match="pages was 'first' and is now 'all'"):
        plan(options, bundle, begun)
    assert plan(dataclasses.replace(options, pages=Pages.FIRST), bundle, begun) is begun


@pytest.mark.parametrize("name", ["list", "labels"])
def test_a_changed_input_list_makes_another_run(
    options: ScoreOptions, bundle: Bundle, tmp_path: pathlib.Path, name: str
) -> None:
    begun = plan(options, bundle)
    (tmp_path / name).write_text("path,label\na.png,4\n")
    with pytest.raises(UserError, match=f"{'input_list' if name == 'list' else 'labels'}_digest was"):
        plan(options, bundle, begun)


def test_another_input_list_with_equal_content_makes_another_run(
    options: ScoreOptions, bundle: Bundle, tmp_path: pathlib.Path
) -> None:
    begun = plan(options, bundle)
    other = dataclasses.replace(options, input_list=tmp_path / "labels")
    with pytest.raises(UserError, match=r"input_list was '.*list' and is now '.*labels'"):
        plan(other, bundle, begun)


def test_the_plan_keeps_the_names_of_earlier_versions(options: ScoreOptions, bundle: Bundle) -> None:
    assert set(plan(options, bundle).settings) == {
        "accept_threshold",
        "challenger",
        "compression",
        "engine",
        "exclude",
        "include",
        "input_list",
        "input_list_digest",
        "labels",
        "labels_digest",
        "limit",
        "list_folders",
        "pages",
        "retry_failures",
        "rows_per_part",
        "sample",
        "since",
    }
