"""The model that comes with the package, used as users use it."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from digitmill.default_model import SHIPPED_MODEL
from digitmill.engines.bundle_loader import open_bundle
from digitmill.verbs.sample import write_sample
from schemas.model import bundle as names
from schemas.model.accuracy import wilson
from trainer.bundle.shipping import MAX_BYTES


def digitmill(*arguments: str, folder: pathlib.Path) -> subprocess.CompletedProcess:
    root = str(pathlib.Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-m", "digitmill", *arguments],
        cwd=folder,
        env={"PYTHONPATH": root, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_small_and_whole() -> None:
    files = [path for path in SHIPPED_MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES
    card = open_bundle(SHIPPED_MODEL).card
    named = {path.relative_to(SHIPPED_MODEL).as_posix() for path in files}
    assert named == {*card.files, names.CARD}


def test_its_card_says_how_it_was_made_and_what_it_is_worth() -> None:
    card = open_bundle(SHIPPED_MODEL).card
    assert card.command.startswith("digitmill train ")
    assert not re.search(r"[\s:=]/", card.command)
    assert {source.license for source in card.data_sources} >= {"CC BY-SA 3.0", "CC BY 4.0", "MIT"}
    # Chosen on validation images; what test images say of it is within chance.
    assert card.trust.test.ece < 0.01
    mnist, *_ = card.trust.sources["test"].values()
    assert mnist.images == 10_000
    assert mnist.accuracy > 0.995
    for source, found in card.trust.sources["test"].items():
        if found.accepted:
            assert wilson(found.accepted_right, found.accepted)[1] > 0.995, source
        if found.not_digits.images:
            assert found.not_digits.share < 0.03, source


def test_it_knows_digits(digits: np.ndarray, labels: np.ndarray) -> None:
    answers = open_bundle(SHIPPED_MODEL).load().probabilities(digits)
    assert (answers.argmax(axis=1) == labels).mean() > 0.99


@pytest.mark.slow
def test_score_takes_it_without_being_told(tmp_path: pathlib.Path) -> None:
    write_sample(tmp_path / "scans", "test")
    done = digitmill("score", "--input", "scans", "--labels", "folder", "--output", "out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["counts"]["scored"] == 500
    assert manifest["labeled"] == 500
    assert manifest["right"] > 490


@pytest.mark.slow
def test_evaluate_takes_it_without_being_told(tmp_path: pathlib.Path) -> None:
    done = digitmill("evaluate", "--data", "sample", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"]["right"] > 490
