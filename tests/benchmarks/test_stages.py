import dataclasses
import pathlib
import sys
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks import stages
from benchmarks.contenders import Model
from benchmarks.stages import LIMITS, engine_times, lines, measure
from digitmill.default_model import SHIPPED_MODEL


@pytest.fixture
def images(digits: np.ndarray, png_of: Callable, tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of 100 digits."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, digit in enumerate(digits[:100]):
        (folder / f"{number:03d}.png").write_bytes(png_of(digit))
    return folder


@pytest.mark.slow
def test_every_stage_is_measured_in_every_round(images: pathlib.Path, bundle_path: pathlib.Path) -> None:
    measured = measure(images, bundle_path, count=100, rounds=2)
    assert measured.images == 100
    assert {name: len(values) for name, values in measured.seconds.items()} == dict.fromkeys(LIMITS, 2)
    assert [name for name, *_ in measured.table()] == list(LIMITS)
    assert all(microseconds >= 0 for _, microseconds, _ in measured.table())


def test_the_sum_is_the_workers_alone() -> None:
    table = [("list", 100.0, "a"), ("read", 5.0, "b"), ("decode", 15.0, "c")]
    *_, total = lines(table, 10)
    assert total.split() == ["worker", "20.00", "50,000", "images/s", "a", "core", "at", "most"]


def test_the_command_trains_a_model_and_prints_the_table(
    bundle_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked = []

    def trained(_: stages.Workspace, model: Model) -> Model:
        asked.append(model.recipe)
        return dataclasses.replace(model, bundle=bundle_path)

    monkeypatch.setattr(stages.Workspace, "trained", trained)
    monkeypatch.setattr(sys, "argv", ["stages", "--images", "40", "--rounds", "1"])
    stages.main()
    assert asked == ["dense-300-100"]
    printed = capsys.readouterr().out
    assert printed.startswith("40 images, processor time of one thread")
    assert "\nscans, decoded: 28 px JPEG, grainy " in printed
    assert "\nengines: litert " in printed


def test_all_engines_for_cpus_are_compared(digits: np.ndarray) -> None:
    times = engine_times(SHIPPED_MODEL, digits[:20], rounds=1)
    assert list(times) == ["litert", "litert_int8", "openvino", "openvino_int8"]
    assert all(microseconds > 0 for microseconds in times.values())
