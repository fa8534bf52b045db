import json
import pathlib
import re
import shutil

import pytest

from digitmill.storage import open_folder
from pipelines.compact import compact_job
from pipelines.compact.compact_job import CompactOptions
from pipelines.output.verification import verify
from pipelines.report.rebuilding import rebuild_report, run_figures
from pipelines.score import score_job
from pipelines.score_options import ScoreOptions
from schemas.errors import UserError
from tests.launching import launch

FLAGS = ("--runner=FnApiRunner",)


@pytest.fixture(scope="module")
def nights(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """Two runs, the second of the images that came after the first."""
    place = tmp_path_factory.mktemp("nights")
    few = place / "in"
    for digit in (0, 1, 2):
        shutil.copytree(digit_folder / str(digit), few / str(digit))
    for night in ("1", "2"):
        options = ScoreOptions(
            inputs=(str(few),),
            model=bundle_path,
            output=str(place / "runs" / night),
            labels="folder",
            since=str(place / "runs"),
            beam_flags=FLAGS,
        )
        score_job.run(options)
        shutil.copytree(digit_folder / "3", few / "3", dirs_exist_ok=True)
    return place / "runs"


@pytest.fixture
def night(nights: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the second run that a test may change."""
    return pathlib.Path(shutil.copytree(nights / "2", tmp_path / "night"))


def report_files(folder: pathlib.Path) -> dict[str, bytes]:
    found = [folder / "report.html", *(folder / "reports").iterdir()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.slow
def test_missing_and_damaged_files_are_restored_byte_for_byte(night: pathlib.Path) -> None:
    before = report_files(night)
    (night / "report.html").unlink()
    (night / "reports" / "digits.csv").unlink()
    (night / "reports" / "confidence.png").write_bytes(b"damaged")
    assert rebuild_report(str(night)) == str(night / "report.html")
    assert report_files(night) == before
    assert verify(open_folder(str(night))).findings == ()


def test_a_second_run_is_compared_with_the_first(nights: pathlib.Path) -> None:
    assert "the previous run" in (nights / "2" / "report.html").read_text()
    assert "the previous run" not in (nights / "1" / "report.html").read_text()
    first = (nights / "1" / "reports" / "distributions.csv").read_bytes()
    assert (nights / "2" / "reports" / "previous_distributions.csv").read_bytes() == first


def test_rebuilding_needs_neither_the_bundle_nor_the_previous_run(
    night: pathlib.Path, nights: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    made = rebuild_report(str(night), to=str(tmp_path / "new"))
    assert made == str(tmp_path / "new" / "report.html")
    rebuilt, first = report_files(tmp_path / "new"), report_files(nights / "2")
    pages = [files.pop("report.html").decode() for files in (rebuilt, first)]
    assert rebuilt == first
    # Links to images count from where the page is; all else is the same.
    without_links = [re.sub(r'href="[^"]*/in/[^"]*"', "", page) for page in pages]
    assert without_links[0] == without_links[1]
    assert pages[0] != pages[1]


@pytest.mark.slow
def test_a_report_that_differs_goes_to_another_folder(night: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = report_files(night)
    with pytest.raises(UserError, match=r"the report would differ .* by --to"):
        rebuild_report(str(night), price_per_hour=2.5)
    assert report_files(night) == before
    rebuild_report(str(night), to=str(tmp_path / "priced"), price_per_hour=2.5)
    assert "at 2.50 an hour" in (tmp_path / "priced" / "report.html").read_text()
    with pytest.raises(UserError, match="is not empty"):
        rebuild_report(str(night), to=str(tmp_path / "priced"))


def test_a_damaged_or_missing_statistics_record_is_refused(night: pathlib.Path) -> None:
    record = next((night / "statistics").iterdir())
    record.write_text(record.read_text().replace('"listed":', '"listed": '))
    with pytest.raises(UserError, match="statistics record is missing or damaged"):
        rebuild_report(str(night))
    record.unlink()
    with pytest.raises(UserError, match="statistics record is missing or damaged"):
        rebuild_report(str(night))


def test_an_unfinished_run_is_refused(night: pathlib.Path) -> None:
    (night / "manifest.json").unlink()
    with pytest.raises(UserError, match="report of an unfinished run"):
        rebuild_report(str(night))


@pytest.mark.slow
def test_the_report_of_a_compacted_run_can_be_rebuilt(nights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    options = CompactOptions(runs=(str(nights),), output=str(tmp_path / "state"), beam_flags=FLAGS)
    assert compact_job.run(options).manifest.counts.skipped == 0
    page = (tmp_path / "state" / "report.html").read_text()
    assert "By predicted digit" in page
    assert "the training set" in page
    before = report_files(tmp_path / "state")
    (tmp_path / "state" / "report.html").unlink()
    rebuild_report(str(tmp_path / "state"))
    assert report_files(tmp_path / "state") == before


def command(log: pathlib.Path, *arguments: object) -> tuple[int | None, str]:
    process = launch(["report", *arguments], log)
    process.join(300)
    return process.exitcode, log.read_text()


@pytest.mark.slow
def test_report_command(night: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert command(tmp_path / "log", night) == (0, f"{night / 'report.html'}\n")
    (tmp_path / "unfinished").mkdir()
    code, printed = command(tmp_path / "log2", tmp_path / "unfinished")
    assert code == 2
    assert "report of an unfinished run" in printed
    assert printed.count("\n") == 1


def test_a_run_in_numbers_is_what_its_manifest_says(night: pathlib.Path) -> None:
    manifest = json.loads((night / "manifest.json").read_text())
    found = run_figures(str(night))
    assert found["failures"] == manifest["failures"]
    assert found["figures"] == manifest["figures"]
    low, high = found["figures"]["accuracy_low"], found["figures"]["accuracy_high"]
    assert 0 < low <= found["figures"]["accuracy"] == manifest["right"] / manifest["labeled"] <= high <= 1
    assert found["figures"]["accepted"] == manifest["accepted"] / manifest["counts"]["scored"]


def test_a_manifest_without_figures_gives_the_same(night: pathlib.Path, tmp_path: pathlib.Path) -> None:
    old = shutil.copytree(night, tmp_path / "old")
    manifest = json.loads((old / "manifest.json").read_text())
    del manifest["figures"]
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert run_figures(str(old)) == run_figures(str(night))
