"""Three nights under a promise: the third brings other digits, and is noticed, explained and repaired."""

import csv
import json
import pathlib
from collections.abc import Callable, Iterable

import cv2
import numpy as np
import pytest

from digitmill import cli
from schemas.errors import ExitCode
from tests.digit_folders import write_digits
from trainer.data.sources import embedded_sample

TARGET = 0.9
LABELED = 500


def digitmill(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return ended.value.code


def shifted(digits: np.ndarray) -> np.ndarray:
    """Digits of forms that were fed in askew."""
    turn = cv2.getRotationMatrix2D((14, 14), 20, 1)
    return np.stack([cv2.warpAffine(digit, turn, (28, 28)) for digit in digits])


def label_audited(output: pathlib.Path, file: pathlib.Path) -> pathlib.Path:
    """What a reviewer exports who labels the images that were drawn: here, folders are the truth."""
    with (output / "reports/audit.csv").open(newline="") as table:
        drawn = [row["image"] for row in csv.DictReader(table)]
    file.write_text("path,label\n" + "".join(f"{image},{image.split('/')[-2]}\n" for image in drawn))
    return file


def answer(capsys: pytest.CaptureFixture) -> dict:
    return json.loads(capsys.readouterr().out)


def accepted(output: pathlib.Path) -> Iterable[bool]:
    """Whether each accepted answer is right."""
    for part in (output / "predictions").glob("*.csv"):
        with part.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["decision"] == "accept"]
        yield from (row["digit"] == row["image"].split("/")[-2] for row in rows)


@pytest.mark.slow
def test_the_gate_trips_the_audit_shows_why_and_calibration_restores_the_promise(
    bundle_path: pathlib.Path, tmp_path: pathlib.Path, png_of: Callable, capsys: pytest.CaptureFixture
) -> None:
    sample = embedded_sample.digits()
    rng = np.random.default_rng(5)
    own, nights = sample.validation, sample.test
    others = sample.train.take(rng.permutation(len(sample.train))[:2_500])
    write_digits(tmp_path / "own", own.images, own.labels, png_of)
    for number, rows in enumerate((slice(0, None, 2), slice(1, None, 2)), start=1):
        write_digits(tmp_path / f"scans/{number}", nights.images[rows], nights.labels[rows], png_of)
    new = shifted(others.images)
    write_digits(tmp_path / "scans/3", new[:LABELED], others.labels[:LABELED], png_of)
    write_digits(tmp_path / "later", new[LABELED:], others.labels[LABELED:], png_of)

    promise = ("--target-accuracy", TARGET, "--json")
    first = tmp_path / "first"
    calibrated = digitmill(
        "calibrate", "--model", bundle_path, "--data", f"folder:{tmp_path}/own", *promise, "--output", first
    )
    assert calibrated == ExitCode.OK
    assert answer(capsys)["guarantee"]["error_bound"] <= 1 - TARGET

    gates = ("--fail-on", "drift>0.25", "--fail-on", "accepted<0.5", "--audit", 150)

    def night(number: int) -> int:
        scans, output = tmp_path / f"scans/{number}", tmp_path / f"nights/{number}"
        return digitmill("score", "--input", scans, "--model", first, *gates, "--output", output)

    # Two nights as the owner knows them: the audit contradicts nothing.
    assert [night(1), night(2)] == [ExitCode.OK, ExitCode.OK]
    for number in (1, 2):
        output = tmp_path / f"nights/{number}"
        labels = label_audited(output, tmp_path / "labels.csv")
        capsys.readouterr()
        assert digitmill("audit", output, labels, "--json") == ExitCode.OK
        assert answer(capsys)["total"]["verdict"] in ("kept", "undecided")

    # The third one is stopped, though every image is scored; the audit says what it would have cost.
    assert night(3) == ExitCode.GATE_TRIPPED
    third = tmp_path / "nights/3"
    finished = json.loads((third / "manifest.json").read_text())
    assert finished["status"] == "complete"
    assert finished["tripped"]["drift>0.25"] > 0.25
    labels = label_audited(third, tmp_path / "labels.csv")
    capsys.readouterr()
    assert digitmill("audit", third, labels, "--json") == ExitCode.GATE_TRIPPED
    found = answer(capsys)["total"]
    assert found["verdict"] == "broken"
    assert found["interval_95"][0] > 1 - TARGET

    # 500 labels of the new kind give a threshold that keeps the promise on all that come after them.
    second = tmp_path / "second"
    data = f"folder:{tmp_path}/scans/3"
    assert (
        digitmill("calibrate", "--model", first, "--data", data, *promise, "--output", second) == ExitCode.OK
    )
    assert (
        digitmill("score", "--input", tmp_path / "later", "--model", second, "--output", tmp_path / "after")
        == 0
    )
    right = list(accepted(tmp_path / "after"))
    assert np.mean(right) >= TARGET
    # And not by refusing everything.
    assert len(right) >= 0.2 * len(new[LABELED:])
    assert (
        digitmill("score", "--input", tmp_path / "later", "--model", first, "--output", tmp_path / "before")
        == 0
    )
    assert np.mean(list(accepted(tmp_path / "before"))) < TARGET
