import csv
import dataclasses
import html.parser
import pathlib

import pytest

from digitmill.cli import main
from digitmill.confidence.audits import judge_audit
from pipelines.report import nights_report
from schemas.errors import ExitCode, UserError
from schemas.manifest import Counts, Manifest, Status
from tests.browser import DESKTOP, PHONE, Tabs, serious_faults, walk_by_tab


class Page(html.parser.HTMLParser):
    """Links, titles of charts and cells of the table of nights."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.charts: list[str] = []
        self.text = ""
        self.feed(pathlib.Path(path).read_text())

    def handle_starttag(self, tag: str, attrs: list) -> None:
        attributes = dict(attrs)
        if tag == "a":
            self.links.append(attributes["href"])
        if tag == "figure":
            self.charts.append(attributes["id"])

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def night(manifest: Manifest, day: int, **fields: object) -> Manifest:
    began = f"2026-01-{day:02}T02:00:00+00:00"
    times = dict(manifest.times) | {
        "begun": began,
        "started": began,
        "finished": f"2026-01-{day:02}T02:05:00+00:00",
    }
    return dataclasses.replace(manifest, times=times, **fields)


def write(folder: pathlib.Path, manifest: Manifest | None) -> pathlib.Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    if manifest is not None:
        (folder / "manifest.json").write_text(manifest.to_json())
    return folder


@pytest.fixture
def nights(tmp_path: pathlib.Path, manifest: Manifest) -> pathlib.Path:
    """Three finished nights, of which the last has drift, and one that broke off."""
    root = tmp_path / "nights"
    priced = dataclasses.replace(manifest, options={**manifest.options, "price_per_hour": 12.0})
    write(root / "third <night>", night(priced, 3, drift=0.31, drift_from_previous=0.3, labeled=0, right=0))
    write(root / "first", night(priced, 1, drift=0.0))
    over = dataclasses.replace(priced, status=Status.OVER_BUDGET, counts=Counts(62, 60, 2, 0))
    write(root / "second", night(over, 2, drift=0.02, drift_from_previous=0.0))
    write(root / "fourth", None)
    (root / "no-run").mkdir()
    return root


def test_each_night_is_a_row_with_a_link_newest_first(nights: pathlib.Path) -> None:
    page = Page(nights_report.report_nights([str(nights)]))
    assert page.links[:3] == ["third%20%3Cnight%3E/report.html", "second/report.html", "first/report.html"]
    for said in (
        "3  nights  at a glance",
        "Not finished:   fourth",
        "More images failed than allowed:   second",
    ):
        assert " ".join(said.split()) in " ".join(page.text.split())
    assert "A large shift from the model's own images: third <night>" in " ".join(page.text.split())


def test_all_figures_that_are_known_are_drawn(nights: pathlib.Path) -> None:
    page = Page(nights_report.report_nights([str(nights)]))
    assert page.charts == ["volume", "accepted", "failed", "drift", "minutes", "cost"]


def test_an_audit_is_shown_where_there_is_one(nights: pathlib.Path) -> None:
    for name, wrong in (("first", 1), ("second", 3)):
        found = judge_audit(
            run=name, target=0.999, accepted=1_000, sampled=200, labeled=200, wrong=wrong, not_digits=0
        )
        (nights / name / "audit.json").write_text(found.to_json())
    page = Page(nights_report.report_nights([str(nights)]))
    assert "audit" in page.charts
    text = " ".join(page.text.replace("\N{NO-BREAK SPACE}", " ").split())
    assert "Accepted but wrong 1.00 % 4 of 400 audited images of 2 runs" in text
    assert "The promise that at most 0.10 % of the accepted images are wrong is broken" in text
    assert "200 1.50 %" in text
    with (nights / "nights.csv").open(newline="") as file:
        rows = [(row["audited"], row["audited_wrong"]) for row in csv.DictReader(file)]
    assert rows == [("200", "1"), ("200", "3"), ("", "")]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"error_rate": "x"}'])
def test_a_damaged_audit_is_named(nights: pathlib.Path, text: str) -> None:
    (nights / "second" / "audit.json").write_text(text)
    with pytest.raises(UserError, match="the audit is damaged"):
        nights_report.report_nights([str(nights)])


def test_what_no_night_knows_is_left_out(tmp_path: pathlib.Path, manifest: Manifest) -> None:
    for day in (1, 2):
        write(tmp_path / str(day), night(manifest, day, labeled=0, right=0))
    page = Page(nights_report.report_nights([str(tmp_path)]))
    assert page.charts == ["volume", "accepted", "failed", "minutes"]
    for absent in ("Drift", "Cost", "Accuracy"):
        assert absent not in page.text


def test_one_night_has_no_course(tmp_path: pathlib.Path, manifest: Manifest) -> None:
    write(tmp_path / "only", night(manifest, 1))
    page = Page(nights_report.report_nights([str(tmp_path)]))
    assert page.charts == []
    assert page.links[0] == "only/report.html"


def test_the_table_has_the_figures_oldest_first(nights: pathlib.Path) -> None:
    nights_report.report_nights([str(nights)])
    with (nights / "nights.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["night"] for row in rows] == ["first", "second", "third <night>"]
    assert [row["drift"] for row in rows] == ["0.000000", "0.020000", "0.310000"]
    assert (rows[0]["listed"], rows[0]["failed"], rows[0]["labeled"], rows[0]["right"]) == (
        "62",
        "2",
        "59",
        "50",
    )
    assert (rows[0]["seconds"], rows[0]["cost"]) == ("300.000000", "1.000000")
    assert rows[0]["drift_from_previous"] == ""


def test_a_page_elsewhere_links_to_the_runs(nights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    runs = [str(nights / "first"), str(nights / "second")]
    page = Page(nights_report.report_nights(runs, to=str(tmp_path / "pages" / "january")))
    assert page.links[:2] == ["../../nights/second/report.html", "../../nights/first/report.html"]
    assert not (nights / "nights.html").exists()


def test_names_are_escaped(nights: pathlib.Path) -> None:
    text = pathlib.Path(nights_report.report_nights([str(nights)])).read_text()
    assert "<night>" not in text
    assert "third &lt;night&gt;" in text


def test_a_folder_of_runs_is_told_from_a_run(nights: pathlib.Path) -> None:
    assert nights_report.is_overview([str(nights)])
    assert nights_report.is_overview([str(nights / "first"), str(nights / "second")])
    assert not nights_report.is_overview([str(nights / "first")])
    assert not nights_report.is_overview([str(nights / "no-run")])


def test_without_a_finished_run_there_is_no_page(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "nights" / "begun", None)
    with pytest.raises(UserError, match="no finished run in this folder"):
        nights_report.report_nights([str(tmp_path / "nights")])


def test_a_damaged_manifest_is_named(nights: pathlib.Path) -> None:
    (nights / "first" / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="manifest is damaged") as failed:
        nights_report.report_nights([str(nights)])
    assert failed.value.value == str(nights / "first")


def test_a_run_gets_no_page_of_others(nights: pathlib.Path) -> None:
    runs = [str(nights / "first"), str(nights / "second")]
    with pytest.raises(UserError, match="cannot write the page of several nights into a run"):
        nights_report.report_nights(runs, to=runs[0])


@pytest.mark.parametrize("runs", [("",), ("first", "second")])
def test_the_command_makes_the_page_of_a_folder_of_runs_or_of_several(
    nights: pathlib.Path,
    runs: tuple[str, ...],
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(nights.parent)
    with pytest.raises(SystemExit) as done:
        main(["report", *(str(nights / run) for run in runs)])
    assert done.value.code == ExitCode.OK
    page = capsys.readouterr().out.strip()
    assert pathlib.Path(page).name == "nights.html"
    assert len(Page(page).charts) > 3


def test_a_price_is_for_one_run(nights: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as done:
        main(["report", str(nights), "--price-per-hour", "1"])
    assert done.value.code == ExitCode.USAGE
    assert "--price-per-hour is for single scoring runs only" in capsys.readouterr().err


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_the_page_has_no_serious_fault_and_is_reached_by_keyboard(
    nights: pathlib.Path, tabs: Tabs, axe: str, width: int, dark: bool
) -> None:
    page = tabs.open(pathlib.Path(nights_report.report_nights([str(nights)])), width=width, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_faults(page, axe) == []
    there, walked = walk_by_tab(page)
    assert walked == there
