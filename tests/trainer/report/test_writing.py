import html
import json
import pathlib
import re
import shlex

import pytest
from click.testing import CliRunner

from digitmill.verbs.report import report
from schemas.errors import UserError
from tests.trainer.report.histories import EPOCHS
from trainer.report import writing
from trainer.report.record import RunRecord


def test_a_report_has_page_record_charts_and_numbers(folder_of) -> None:
    folder = folder_of()
    charts = {path.stem for path in (folder / "report").glob("*.png")}
    assert charts == {path.stem for path in (folder / "report").glob("*.csv")}
    assert {"accuracy", "confusion", "coverage", "reliability"} <= charts
    assert RunRecord.from_json((folder / "report" / "data.json").read_text())


@pytest.mark.slow
def test_a_report_is_rebuilt_from_what_the_folder_holds(folder_of) -> None:
    folder = folder_of()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in [folder / "report.html", *(folder / "report").glob("*.[cp][sn]*")]:
        path.unlink()
    assert writing.rebuild(str(folder)) == str(folder / "report.html")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_report_can_go_to_another_folder(folder_of, tmp_path) -> None:
    folder = folder_of()
    page = writing.rebuild(str(folder), to=str(tmp_path / "elsewhere"))
    assert page == str(tmp_path / "elsewhere" / "report.html")
    assert (tmp_path / "elsewhere" / "report" / "confusion.png").exists()
    assert not (tmp_path / "elsewhere" / "report" / "data.json").exists()


def test_a_run_without_record_is_refused(folder_of) -> None:
    with pytest.raises(UserError, match=r"report/data\.json"):
        writing.rebuild(str(folder_of(record=None)))


def test_a_folder_without_a_finished_run_is_refused(tmp_path) -> None:
    assert not writing.is_run(str(tmp_path))
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="no finished training run"):
            writing.rebuild(str(place))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report/data.json", "{}"),
        ("report/data.json", '{"format": 1}'),
        ("bundle/model_card.json", "["),
        ("history.csv", "epoch,loss\nx,y\n"),
        ("history.csv", "epoch,loss\n1,2\n"),
    ],
)
def test_damaged_files_are_a_one_line_error(folder_of, name: str, content: str) -> None:
    folder = folder_of()
    (folder / name).write_text(content)
    with pytest.raises(UserError, match="Copy the run folder again") as caught:
        writing.rebuild(str(folder))
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_refused(folder_of, tmp_path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot write the report"):
        writing.rebuild(str(folder_of()), to=str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.slow
def test_runs_are_compared_into_a_folder(folder_of, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [str(folder_of(name)) for name in ("one", "two")]
    assert writing.compare(runs) == "comparison/report.html"
    assert {path.name for path in (tmp_path / "comparison" / "report").iterdir()} == {
        f"{name}.{kind}"
        for name in ("accuracy", "loss", "intervals", "difference_b")
        for kind in ("csv", "png")
    }
    # Again, and in another place.
    assert writing.compare(runs) == writing.compare(runs, to="comparison")


def test_no_runs_report_is_overwritten(folder_of) -> None:
    one, two = str(folder_of("one")), str(folder_of("two"))
    for write in (lambda: writing.compare([one, two], to=two), lambda: writing.rebuild(one, to=two)):
        with pytest.raises(UserError, match="holds another run"):
            write()


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_and_too_many_runs_are_refused(count: int) -> None:
    with pytest.raises(UserError, match="Name 2 to 8 run folders"):
        writing.compare(["run"] * count)


@pytest.mark.slow
def test_a_report_is_made_without_tensorflow(folder_of, run_python) -> None:
    folder = folder_of()
    code = (
        "import sys; from trainer.report import writing; "
        f"assert writing.is_run({str(folder)!r}); print(writing.rebuild({str(folder)!r})); "
        "assert not {'tensorflow', 'keras', 'apache_beam'} & set(sys.modules)"
    )
    assert run_python(code).strip() == str(folder / "report.html")


def test_the_command_rebuilds_and_compares_reports(folder_of, tmp_path) -> None:
    one, two = folder_of("one"), folder_of("two")
    made = CliRunner().invoke(report, [str(one)], catch_exceptions=False)
    assert made.output == f"{one / 'report.html'}\n"
    compared = CliRunner().invoke(
        report, [str(one), str(two), "--to", str(tmp_path / "both")], catch_exceptions=False
    )
    assert compared.output == f"{tmp_path / 'both' / 'report.html'}\n"
    with pytest.raises(UserError, match="for single scoring runs only"):
        CliRunner().invoke(report, [str(one), "--price-per-hour", "1"], catch_exceptions=False)


def command_to_repeat(page: str) -> list[str]:
    """Return the words of the command by which a page says that it can be made again."""
    (command,) = re.findall(r"To make this page again.*?<code>(.*?)\n*</code>", page, re.DOTALL)
    program, verb, *arguments = shlex.split(html.unescape(command))
    assert (program, verb) == ("digitmill", "report")
    return arguments


@pytest.mark.parametrize("more", [[], ["--to", "side by side"]], ids=["usual-folder", "named-folder"])
def test_the_command_on_a_comparison_makes_the_same_page_again(
    folder_of, tmp_path, monkeypatch, more
) -> None:
    runs = [str(folder_of("my run")), str(folder_of("other"))]
    monkeypatch.chdir(tmp_path)
    made = CliRunner().invoke(report, [*runs, *more], catch_exceptions=False)
    page = pathlib.Path(made.output.strip())
    before = page.read_text()
    page.write_text("lost")
    again = CliRunner().invoke(report, command_to_repeat(before), catch_exceptions=False)
    assert again.output == made.output
    assert page.read_text() == before


@pytest.mark.parametrize("more", [[], ["--to", "a copy"]], ids=["run-folder", "named-folder"])
def test_the_command_on_a_training_report_makes_the_same_page_again(
    folder_of, tmp_path, monkeypatch, more
) -> None:
    run = str(folder_of("my run"))
    monkeypatch.chdir(tmp_path)
    made = CliRunner().invoke(report, [run, *more], catch_exceptions=False)
    page = pathlib.Path(made.output.strip())
    before = page.read_text()
    page.unlink()
    again = CliRunner().invoke(report, command_to_repeat(before), catch_exceptions=False)
    assert again.output == made.output
    assert page.read_text() == before


def test_history_and_card_are_those_of_the_run(folder_of) -> None:
    folder = folder_of()
    run = writing.open_run(str(folder))
    assert run.epochs == EPOCHS
    assert run.card.recipe == json.loads((folder / "bundle" / "model_card.json").read_text())["recipe"]


def test_reports_are_drawn_without_tensorflow(run_python) -> None:
    drawn = "import sys; import trainer.report.writing; print('tensorflow' in sys.modules)"
    assert "False" in run_python(drawn)
