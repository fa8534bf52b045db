import dataclasses
import json
import pathlib
import sys

import pytest

from benchmarks import __main__ as command
from benchmarks import contenders, machine, page, plot, results
from benchmarks.__main__ import FULL, QUICK, Effort
from benchmarks.contenders import Contender, Model
from benchmarks.workspace import Workspace
from tests.benchmarks.stand_ins import local

TINY = Effort((4, 8), 2, 4, {"large": 4, "stock": 3, "small": 2}, {})


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two contenders that take no time, and models that need not be trained."""
    digitmill = local("digitmill")
    monkeypatch.setattr(command, "installed", lambda: (digitmill, local("other")))
    monkeypatch.setattr("benchmarks.scoring.DIGITMILL", digitmill)
    monkeypatch.setattr(Workspace, "trained", lambda _, model: model)
    monkeypatch.setattr(Model, "with_engine", lambda model: model)
    monkeypatch.setattr(command, "QUICK", TINY)


def start(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, arguments)])
    command.main()


@pytest.mark.slow
@pytest.mark.usefixtures("stand_ins")
def test_a_run_prints_tables_and_leaves_its_results(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    start(monkeypatch, "--quick", "--only", "scoring", "--only", "cores", "--folder", tmp_path)
    printed = capsys.readouterr()
    for title in (
        "dense-300-100, 8 images",
        f"{contenders.SHIPPED}, 4 images",
        "digitmill, growth",
        "Figures to reach",
    ):
        assert title in printed.out
    assert "Start" not in printed.out
    assert printed.err.count("whole command") == 2 * 2 * 2 * 2 + 2 * 2
    runs = results.read(tmp_path / "results" / results.FILE)
    assert len(runs) == 20
    assert json.loads((tmp_path / "results" / machine.FILE).read_text())["cores"] >= 1
    assert (tmp_path / "results" / plot.NAME).stat().st_size > 1000


@pytest.mark.usefixtures("stand_ins")
def test_stages_are_kept_as_they_were_printed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    printed = command.process.Finished("read 7 µs\n", 1.0, 1.0)
    monkeypatch.setattr(command.process, "run", lambda _: printed)
    start(monkeypatch, "--quick", "--only", "stages", "--folder", tmp_path)
    assert (tmp_path / "results" / page.STAGES).read_text() == "read 7 µs\n"
    assert "read 7 µs" in capsys.readouterr().out


@pytest.mark.parametrize("flags", [["--quick"], ["--only", "start"]])
def test_only_a_whole_run_is_published(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        start(monkeypatch, "--publish", *flags)
    assert ended.value.code == 2
    assert "only a whole run is published" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("stand_ins")
def test_publishing_fills_the_pages(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    monkeypatch.setattr(command, "FULL", TINY)
    monkeypatch.setattr(command, "missing", list)
    monkeypatch.setattr(command, "PARTS", ("scoring", "scans"))
    monkeypatch.setattr(machine, "busy", lambda _: False)
    monkeypatch.setattr(page, "keep", kept.append)
    monkeypatch.setattr(page, "write", lambda: kept.append("written"))
    start(monkeypatch, "--publish", "--folder", tmp_path)
    assert kept == [tmp_path / "results", "written"]


@pytest.mark.usefixtures("stand_ins")
def test_nothing_is_published_that_not_everybody_took_part_in(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(command, "missing", lambda: ["Ray Data is left out"])
    monkeypatch.setattr(machine, "busy", lambda _: False)
    with pytest.raises(SystemExit, match="cannot publish"):
        start(monkeypatch, "--publish", "--folder", tmp_path)
    assert "Ray Data is left out" in capsys.readouterr().err


@pytest.mark.usefixtures("stand_ins")
def test_nothing_is_measured_for_a_page_while_the_machine_is_busy(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(command, "missing", list)
    monkeypatch.setattr(machine, "busy", lambda _: True)
    with pytest.raises(SystemExit, match="end other work"):
        start(monkeypatch, "--publish", "--folder", tmp_path)
    assert "this machine is busy" in capsys.readouterr().err


def test_who_cannot_take_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Contender("X", contenders.score, contenders.printed_seconds, ("no_such_module_here",))
    monkeypatch.setattr(command, "ALL", (lacking, local("here")))
    monkeypatch.setattr(command.buckets, "program", lambda: None)
    assert [line.split(" is ")[0] for line in command.missing()] == ["X", "object storage"]


def test_whole_runs_are_of_five_rounds_and_both_sizes() -> None:
    assert FULL.rounds >= 5
    assert FULL.images == (10_000, 60_000)
    assert FULL.epochs["dense-300-100"] == 30_000
    assert QUICK.epochs["dense-300-100"] < FULL.epochs["dense-300-100"]


@pytest.mark.slow
def test_models_are_scored_one_size_after_the_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    models = [Model("a"), Model("b")]
    runs = command.measured(
        ["scoring"], TINY, Workspace(tmp_path), models=models, contenders=[local("digitmill")]
    )
    assert [(run.images, run.model) for run in runs][::2] == [(4, "a"), (4, "b"), (8, "a"), (8, "b")]


@pytest.mark.slow
def test_who_takes_too_long_sits_out_the_larger_folders(tmp_path: pathlib.Path) -> None:
    slow = dataclasses.replace(local("B"), most=4)
    runs = command.measured(
        ["scoring"],
        TINY,
        Workspace(tmp_path),
        models=[Model("a"), Model("b")],
        contenders=[local("A"), slow],
    )
    seen = {(run.contender, run.images) for run in runs}
    assert seen == {("A", 4), ("A", 8), ("B", 4)}
