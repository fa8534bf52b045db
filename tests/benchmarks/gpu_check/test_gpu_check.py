import contextlib
import json
import pathlib

import pytest

from benchmarks.gpu_check import __main__ as command
from benchmarks.gpu_check import parts, summary
from benchmarks.gpu_check.parts import PartError


def test_a_failed_part_is_reported_and_the_others_go_on(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def failing(check: parts.Check, seconds: float) -> dict:
        raise PartError("no kernel image")

    rows = {"tf32": {"steps/s": 1234.5}, "mixed": {"steps/s": 2.0}}
    others = {"good": lambda check, seconds: {"ways": rows, "difference": 0.00012, "formats": {"a": 1}}}
    monkeypatch.setattr(parts, "PARTS", {"bad": failing} | others)
    assert command.main(["--output", str(tmp_path / "out"), "--data", "sample"]) == 1
    found = json.loads((tmp_path / "out" / "gpu_check.json").read_text())
    assert found["parts"]["bad"]["error"] == "no kernel image"
    assert found["parts"]["good"]["ways"] == rows
    page = (tmp_path / "out" / "gpu_check.md").read_text()
    assert page in capsys.readouterr().out
    assert "1 of 2 parts failed" in page
    assert "- **failed** bad: no kernel image" in page
    assert "| tf32 | 1,234.5 |" in page
    assert "- difference: 0.00012" in page


@pytest.mark.parametrize(
    ("code", "words"), [("import time; time.sleep(9)", "no time left"), ("1/0", "with 1")]
)
def test_a_process_that_fails_or_takes_too_long_fails_its_part(code: str, words: str) -> None:
    import sys

    with pytest.raises(PartError, match=words):
        parts.finish([sys.executable, "-c", code], 1)


@pytest.mark.parametrize(("difference", "fails"), [(0.0009, False), (0.0011, True), (float("nan"), True)])
def test_a_saved_model_that_differs_from_litert_fails_its_part(
    difference: float, fails: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"SavedModel and LiteRT differ by": difference, "allowed": 0.001}
    monkeypatch.setattr(parts, "finish", lambda command, seconds: json.dumps(found))
    check = parts.Check(tmp_path, "sample", effort=parts.TINY, allow_cpu=True)
    with pytest.raises(PartError, match="differ by") if fails else contextlib.nullcontext():
        assert parts.devices(check, 1) == found


@pytest.mark.slow
def test_the_whole_check_runs_on_cpus(tmp_path: pathlib.Path) -> None:
    words = ["--output", str(tmp_path / "out"), "--allow-cpu", "--tiny", "--data", "sample"]
    command.main([*words, "--seconds", "3600"])
    found = json.loads((tmp_path / "out" / "gpu_check.json").read_text())["parts"]
    assert list(summary.failures(found)) == []
    assert found["fast-99 and its export"]["devices"].startswith("CPU, ")
    assert set(found["speed"]["ways"]) == {"tf32", "float32", "mixed", "xla", "fit", "not_deterministic"}
    assert set(found["one and two replicas"]["ways"]) == {"one", "two", "hierarchical"}
    assert found["kill and resume"]["the resumed run is equal"]
    assert found["scoring"]["images"] == 20
