import json
import pathlib
import re

import pytest

from benchmarks import drift_page, machine, page, plot, promises, results, robustness_page, scale_page, tables
from benchmarks.results import Results
from tests.benchmarks.runs import every_run, run

MACHINE = {
    "date": "2030-01-02",
    "commit": "abc",
    "processor": "A processor",
    "cores": 2,
    "memory_gb": 8,
    "system": "Linux 6, x86_64",
    "python": "3.11.7",
    "load": 0.1,
    "digits": "digits",
    "versions": {"keras": "3.15.1"},
    "engines": {"dense-300-100": "litert"},
}


@pytest.fixture
def measured(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of results."""
    results.write(tmp_path / results.FILE, every_run())
    (tmp_path / machine.FILE).write_text(json.dumps(MACHINE))
    (tmp_path / plot.NAME).write_bytes(b"PNG")
    (tmp_path / page.STAGES).write_text("read 7 µs\n")
    return tmp_path


@pytest.fixture
def pages(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> list[pathlib.Path]:
    """Copy of the real pages, which the module then writes, and an empty place for kept results."""
    root = tmp_path / "root"
    copies = []
    for original in page.PAGES:
        copy = root / original.relative_to(page.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(original.read_text(encoding="utf-8"), encoding="utf-8")
        copies.append(copy)
    monkeypatch.setattr(page, "PAGES", tuple(copies))
    monkeypatch.setattr(page, "KEPT", root / "docs" / "benchmarks")
    return copies


def test_only_what_is_marked_is_exchanged() -> None:
    other = "<!-- measured: cores -->\n1\n<!-- end -->\n"
    text = f"before\n<!-- measured: start -->\nold\nold\n<!-- end -->\nafter\n{other}"
    assert page.fill(text, {"start": "new"}) == text.replace("old\nold", "new")


def test_filling_twice_changes_nothing_more() -> None:
    text = "<!-- measured: start -->\n<!-- end -->\n<!-- measured: cores -->\n<!-- end -->"
    once = page.fill(text, {"start": "a\\1 $b", "cores": "c"})
    assert "a\\1 $b" in once
    assert page.fill(once, {"start": "a\\1 $b", "cores": "c"}) == once


def test_a_misspelt_part_is_found_out() -> None:
    with pytest.raises(KeyError, match="coars"):
        page.fill("<!-- measured: coars -->\n<!-- end -->", {})


def test_the_pages_hold_every_part_once() -> None:
    named = [
        name
        for original in page.PAGES
        for name in re.findall(r"<!-- measured: ([\w-]+) -->", original.read_text(encoding="utf-8"))
    ]
    assert sorted(named) == sorted(page.NAMES)


def test_the_pages_say_what_the_kept_results_hold() -> None:
    assert not page.outdated()


def test_every_part_is_made_from_a_whole_run(measured: pathlib.Path) -> None:
    made = page.blocks(measured)
    assert set(made) == page.NAMES - {
        *scale_page.NAMES,
        *robustness_page.NAMES,
        *drift_page.NAMES,
        *promises.NAMES,
    }
    assert "13.13 (13.00, 13.13, 13.26)" in made["scoring"]
    assert "A processor, 2 cores" in made["machine"]
    assert made["stages"] == "```text\nread 7 µs\n```"


def test_figures_of_an_earlier_run_do_not_stay_beside_those_of_this_one(measured: pathlib.Path) -> None:
    results.write(measured / results.FILE, every_run().where(section="start"))
    made = page.blocks(measured)
    assert "digitmill --help" in made["start"]
    for part in ("scoring", "training", "buckets", "headline"):
        assert made[part] == page.NOT_MEASURED


def test_without_results_nothing_is_said(tmp_path: pathlib.Path) -> None:
    assert page.blocks(tmp_path) == {}


def test_the_headline_is_the_dense_network_on_most_images(measured: pathlib.Path) -> None:
    made = page.blocks(measured)["headline"]
    assert "dense-300-100, 60,000 images" in made
    assert "10,000 images" not in made
    assert made.count("loop without Beam") == made.count("loop, engine") == 1


def test_pages_are_filled_and_then_true(measured: pathlib.Path, pages: list[pathlib.Path]) -> None:
    page.keep(measured)
    # These have results of their own.
    others = ("drift.md", "guaranteed-decisions.md", "model.md", "scale.md")
    assert page.outdated() == [each for each in pages if each.name not in others]
    page.write()
    assert not page.outdated()
    text = pages[0].read_text(encoding="utf-8")
    assert "Not measured yet." not in text
    assert "13.13 (13.00, 13.13, 13.26)" in text
    assert "78.78 (78.00, 78.78, 79.56)" in pages[-1].read_text(encoding="utf-8")


def test_a_figure_that_was_typed_is_found_out(measured: pathlib.Path, pages: list[pathlib.Path]) -> None:
    page.keep(measured)
    page.write()
    pages[0].write_text(
        pages[0].read_text(encoding="utf-8").replace("13.13 (13.00", "7.13 (13.00"), encoding="utf-8"
    )
    assert page.outdated() == pages[:1]


def test_stages_of_an_earlier_run_do_not_stay(measured: pathlib.Path, pages: list[pathlib.Path]) -> None:
    page.keep(measured)
    (measured / page.STAGES).unlink()
    page.keep(measured)
    assert not (page.KEPT / page.STAGES).exists()


def test_the_command_checks_and_fills(
    measured: pathlib.Path,
    pages: list[pathlib.Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(page, "ROOT", measured / "root")
    monkeypatch.setattr("sys.argv", ["page", str(measured)])
    page.main()
    monkeypatch.setattr("sys.argv", ["page", "--check"])
    with pytest.raises(SystemExit) as done:
        page.main()
    assert done.value.code == 0
    results.write(page.KEPT / results.FILE, [run(contender="digitmill", images=60_000)])
    with pytest.raises(SystemExit) as done:
        page.main()
    assert done.value.code == 1
    assert "README.md is not what docs/benchmarks holds" in capsys.readouterr().out


def test_kept_results_can_be_read() -> None:
    """What is committed are results of a whole run, where there are any."""
    if (page.KEPT / results.FILE).exists():
        kept = Results(results.read(page.KEPT / results.FILE))
        assert set(kept.distinct("section")) >= {"scoring", "cores", "start", "training"}
        assert list(tables.scoring(kept))
