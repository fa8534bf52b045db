import json
import pathlib
import sys

import pytest

from benchmarks import __main__ as command
from benchmarks import machine, page, plot, results
from benchmarks.contenders import Model
from benchmarks.effort import FULL, QUICK, Effort
from benchmarks.setting import Setting
from tests.benchmarks.stand_ins import local

TINY = Effort((4, 8), 2, {"large": 4, "stock": 3, "small": 2}, (), 64)


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two contenders that take no time, and models that need not be trained."""
    digitmill = local("digitmill")
    monkeypatch.setattr(command, "installed", lambda: (digitmill, local("other")))
    monkeypatch.setattr("benchmarks.scoring.DIGITMILL", digitmill)
    monkeypatch.setattr(Setting, "trained", lambda _, model: model)
    monkeypatch.setattr(command, "QUICK", TINY)


def start(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, arguments)])
    command.main()


@pytest.mark.usefixtures("stand_ins")
def test_a_run_prints_tables_and_leaves_its_results(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    start(monkeypatch, "--quick", "--only", "scoring", "--only", "cores", "--folder", tmp_path)
    printed = capsys.readouterr()
    for title in ("dense-300-100, 8 images", "small-cnn, 4 images", "digitmill, growth", "Figures to reach"):
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
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda _: object())
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


@pytest.mark.usefixtures("stand_ins")
def test_publishing_fills_the_pages(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    monkeypatch.setattr(command, "FULL", TINY)
    monkeypatch.setattr(command, "PARTS", ("scoring",))
    monkeypatch.setattr(page, "keep", kept.append)
    monkeypatch.setattr(page, "write", lambda: kept.append("written"))
    start(monkeypatch, "--publish", "--folder", tmp_path)
    assert kept == [tmp_path / "results", "written"]


def test_every_part_can_be_measured() -> None:
    assert {*command.MEASURED, "stages"} == {*command.PARTS}


def test_whole_runs_are_of_three_rounds_and_both_sizes() -> None:
    assert FULL.rounds >= 3
    assert FULL.images == (10_000, 60_000)
    assert FULL.epoch("dense-300-100") == 60_000
    assert QUICK.epoch("dense-300-100") < FULL.epoch("dense-300-100")


def test_models_are_scored_one_size_after_the_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    models = [Model("a", "litert"), Model("b", "litert_int8")]
    runs = command.measured(
        ["scoring"], TINY, Setting(tmp_path), models=models, contenders=[local("digitmill")]
    )
    assert [(run.images, run.model) for run in runs][::2] == [(4, "a"), (4, "b"), (8, "a"), (8, "b")]
