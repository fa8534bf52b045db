"""The whole review loop as people walk it: score, label by keyboard, fine-tune, score again."""

import csv
import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import expect

from digitmill.storage.names import readable
from pipelines.listing.input_listing import list_images
from pipelines.listing.true_labels import attach_labels
from schemas import labels
from schemas.model.accuracy import Accuracy
from schemas.prediction import NO_LABEL
from tests.browser import PATIENCE, Tabs
from trainer.data.sources import embedded_sample
from trainer.job import evaluate_job
from trainer.job.evaluate_job import EvaluateOptions

ROOT = pathlib.Path(__file__).parents[1]
UNREADABLE_ROWS = (3, 50)
SLIP = 7
"""A row that the reviewer labels wrong at first, and takes back."""

Digits = tuple[np.ndarray, np.ndarray]
"""uint8[N, 28, 28] and the labels, N."""


def digitmill(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "digitmill", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def turned(digits: Digits) -> Digits:
    """The kind that the first model has never seen: sheets that were fed in sideways."""
    images, truth = digits
    return np.ascontiguousarray(np.rot90(images, axes=(1, 2))), truth


def write(folder: pathlib.Path, digits: Digits, png_of: Callable) -> pathlib.Path:
    for number, (image, label) in enumerate(zip(*digits, strict=True)):
        path = folder / str(label) / f"<script>alert({number})<∕script>.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_of(image))
    return folder


def truth_of(uri: str) -> str:
    return readable(uri).split("/")[-2]


def read_rows(output: pathlib.Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for part in sorted((output / "predictions").glob("*.csv")):
        with part.open(encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file)
    return rows


def review(page_file: pathlib.Path, tabs: Tabs, folder: pathlib.Path) -> pathlib.Path:
    """Labels every image of a page by its keys and downloads what came of it."""
    (data,) = re.findall(
        r'<script id="data" type="application/json">(.*?)</script>', page_file.read_text(), re.S
    )
    rows = json.loads(data)["rows"]
    page = tabs.open(page_file)
    page.wait_for_selector("html[data-ready]", state="attached")
    for number, row in enumerate(rows):
        truth = truth_of(row["path"])
        if number == SLIP:
            page.keyboard.press(str((int(truth) + 1) % 10))
            page.keyboard.press("Backspace")
        # Enter takes what the page suggests, which for what looks like no digit is that it is none.
        right = row["predicted"] == int(truth) and not row["noDigit"]
        page.keyboard.press("u" if number in UNREADABLE_ROWS else "Enter" if right else truth)
    expect(page.locator("#counts")).to_have_text(
        f"{len(rows)} of {len(rows)} looked at, {len(UNREADABLE_ROWS)} unreadable", timeout=PATIENCE
    )
    with page.expect_download() as started:
        page.click("#download")
    started.value.save_as(folder / started.value.suggested_filename)
    return folder / labels.FILE


def accuracies(output: pathlib.Path, kind: str) -> tuple[Accuracy, Accuracy]:
    """Return how right the model and its challenger are on the images of a folder."""
    rows = [row for row in read_rows(output) if f"/{kind}/" in row["image"]]
    return (
        Accuracy(sum(row["digit"] == row["label"] for row in rows), len(rows)),
        Accuracy(sum(row["challenger_digit"] == row["label"] for row in rows), len(rows)),
    )


@pytest.fixture(scope="module")
def reviewed() -> Digits:
    train = embedded_sample.digits().train
    return turned((train.images[::8], train.labels[::8]))


def test_what_is_reviewed_is_learnt_and_nothing_is_forgotten(
    tmp_path: pathlib.Path, bundle_path: pathlib.Path, reviewed: Digits, png_of: Callable, tabs: Tabs
) -> None:
    first = write(tmp_path / "first", reviewed, png_of)
    digitmill(
        "score",
        "--input",
        first,
        "--model",
        bundle_path,
        "--output",
        tmp_path / "1",
        "--accept-threshold",
        0.99,
    )
    said = digitmill("review", tmp_path / "1")
    doubtful = [row for row in read_rows(tmp_path / "1") if row["decision"] == "review"]
    assert f"for review  {len(doubtful)}\n" in said
    assert len(doubtful) > 250

    labeled = review(tmp_path / "1" / "review.html", tabs, tmp_path)
    with labeled.open(encoding="utf-8", newline="") as file:
        given = {row["path"]: row["label"] for row in csv.DictReader(file)}
    assert given.keys() == {row["image"] for row in doubtful}
    assert list(given.values()).count(labels.UNREADABLE) == len(UNREADABLE_ROWS)
    assert all(label in (labels.UNREADABLE, truth_of(path)) for path, label in given.items())

    trained = digitmill(
        *("train", "--recipe", "dense-128", "--init", bundle_path, "--output", tmp_path / "run"),
        *("--data", "sample", "--data", f"labels:{labeled}@3", "--epochs", 8, "--seed", 1),
    )
    assert f"{len(UNREADABLE_ROWS)} images labeled unreadable\n" in trained

    # Digits of both kinds that no training has seen, by both models side by side.
    test = embedded_sample.digits().test
    second = tmp_path / "second"
    write(second / "turned", turned((test.images, test.labels)), png_of)
    write(second / "upright", (test.images, test.labels), png_of)
    models = ("--model", tmp_path / "run" / "bundle", "--challenger", bundle_path)
    digitmill("score", "--input", second, "--labels", "folder", *models, "--output", tmp_path / "2")
    after, before = accuracies(tmp_path / "2", "turned")
    assert after.images == before.images == 500
    assert after.value > before.value + 0.3
    after, before = accuracies(tmp_path / "2", "upright")
    assert after.value > before.value - 0.03

    # What was labeled is truth too, for both that take one.
    known = [image.label for image in attach_labels(list_images([str(first)]), str(labeled))]
    answers = len(doubtful) - len(UNREADABLE_ROWS)
    assert sum(label != NO_LABEL for label in known) == answers
    asked = EvaluateOptions(model=tmp_path / "run" / "bundle", data=(f"labels:{labeled}",), split="all")
    assert evaluate_job.run(asked).accuracy.images == answers
