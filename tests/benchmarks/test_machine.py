import json
import pathlib
import platform

from benchmarks import machine
from tests.benchmarks.test_page import MACHINE


def test_the_description_is_json_and_complete() -> None:
    described = json.loads(json.dumps(machine.describe("digits")))
    assert {*described, "engines"} == set(MACHINE)
    assert described["versions"]["keras"].startswith("3.")
    assert described["cores"] >= 1


def test_the_sentences_name_what_figures_depend_on() -> None:
    text = machine.sentences(MACHINE)
    for part in (
        "2030-01-02",
        "A processor",
        "2 cores",
        "8 GB",
        "Python 3.11.7",
        "keras 3.15.1",
        "digits",
        "by litert",
    ):
        assert part in text
    assert "busy" not in text


def test_a_busy_machine_is_told_of() -> None:
    busy = MACHINE | {"load": 1.5}
    assert machine.busy(busy)
    assert "load 1.5" in machine.sentences(busy)
    assert not machine.busy(MACHINE | {"load": 0.3})


def test_the_processor_is_what_the_system_calls_it(tmp_path: pathlib.Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Chip 9000 @ 3 GHz\nmodel name\t: Other\n")
    assert machine.processor(info) == "Chip 9000 @ 3 GHz"
    info.write_text("BogoMIPS\t: 50\n")
    assert machine.processor(info) == machine.processor(tmp_path / "none") == platform.machine()


def test_a_package_that_is_not_there_has_no_version() -> None:
    assert machine.installed("no-such-package-as-this") is None
