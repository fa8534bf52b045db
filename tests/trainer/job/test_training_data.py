"""Whole jobs, seen from their data: what is named on the command line reaches the loop."""

import csv
import json

import cv2
import numpy as np
import pytest

from schemas.errors import UserError
from schemas.model.model_card import ModelCard
from tests.trainer.idx_files import write_set
from trainer.data import rejects
from trainer.job import train_job, training
from trainer.loop.actions.preemption import PreemptedError
from trainer.train_options import TrainOptions


@pytest.fixture
def trained_on(monkeypatch):
    """The digits that reach the loop."""
    seen = []
    real = training.Trainer

    def remember(recipe, digits, **options):
        seen.append(digits)
        return real(recipe, digits, **options)

    monkeypatch.setattr(training, "Trainer", remember)
    return seen


def run(tmp_path, **options):
    given = {"recipe": "dense-128", "data": "sample", "epochs": 1, "replicas": 1} | options
    return train_job.run(TrainOptions(output=tmp_path / "run", **given))


def rejected(tmp_path) -> list[list[str]]:
    with (tmp_path / "run" / rejects.FILE).open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.slow
def test_a_mixture_with_balanced_classes(tmp_path, label_folder, few_digits, trained_on):
    (label_folder / "3" / "bad.png").write_bytes(b"no image")
    idx = write_set(tmp_path / "idx", few_digits)
    data = (f"idx:{idx}", f"folder:{label_folder}@3")
    result = run(tmp_path, data=data, class_weights="balanced")
    (digits,) = trained_on
    weights = digits.train.weights
    assert weights.mean() == pytest.approx(1, rel=0.1)
    sums = [weights[digits.train.labels == label].sum() for label in range(10)]
    # Each class has its share of either source, so that both weights together are even to some percent.
    assert max(sums) / min(sums) < 1.3
    card = ModelCard.from_json((result.bundle / "model_card.json").read_text())
    assert card.data == f"idx:{idx}@1 folder:{label_folder}@3"
    assert card.data_digest == digits.digest
    assert card.class_counts == digits.train_counts()
    assert rejected(tmp_path)[1][:3] == [
        f"folder:{label_folder}",
        str(label_folder / "3/bad.png"),
        "UNSUPPORTED",
    ]


class EnoughError(Exception):
    """Raised where a test has seen what it wanted."""


def test_a_checkpoint_knows_a_mixture_by_what_it_can_hold(tmp_path, label_folder, few_digits, monkeypatch):
    seen = []

    def remember(*_, checkpointing, **__):
        seen.append(checkpointing.identity)
        raise EnoughError

    monkeypatch.setattr(training, "Trainer", remember)
    data = (f"idx:{write_set(tmp_path / 'idx', few_digits)}", f"folder:{label_folder}@3")
    with pytest.raises(EnoughError):
        run(tmp_path, data=data)
    assert seen[0]["data"] == list(data)
    assert json.loads(json.dumps(seen[0])) == seen[0]


@pytest.mark.slow
def test_a_stopped_training_on_a_mixture_resumes(tmp_path, label_folder, few_digits, monkeypatch, capsys):
    data = (f"idx:{write_set(tmp_path / 'idx', few_digits)}", f"folder:{label_folder}@3")
    epochs = training.Trainer.epochs

    def stopped(self):
        if not self.state.step:
            yield next(epochs(self))
        raise PreemptedError("stopped")

    monkeypatch.setattr(training.Trainer, "epochs", stopped)
    for resume in (False, True):
        with pytest.raises(PreemptedError, match=r"stopped\. Resume with: "):
            run(tmp_path, data=data, epochs=3, resume=resume)
    printed = capsys.readouterr().out
    assert printed.count("resumed after step ") == 1


@pytest.mark.slow
def test_too_many_bad_images_stop_the_job_and_are_all_in_the_file(tmp_path, label_folder):
    for number in range(30):
        (label_folder / "3" / f"bad {number}.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="30 of 430"):
        run(tmp_path, data=f"folder:{label_folder}")
    assert len(rejected(tmp_path)) == 31
    (tmp_path / "run" / rejects.FILE).unlink()
    run(tmp_path, data=f"folder:{label_folder}", max_bad_rate=0.1)
    assert len(rejected(tmp_path)) == 31


@pytest.mark.slow
def test_training_starts_from_a_bundles_weights(tmp_path, bundle_path):
    fresh = run(tmp_path / "fresh")
    tuned = run(tmp_path / "tuned", init=str(bundle_path))
    # The bundle learnt six epochs of the same digits.
    assert tuned.history[0].loss < 0.6 * fresh.history[0].loss


def test_the_shipped_model_has_a_name(tmp_path):
    with pytest.raises(UserError, match="the architecture of --init differs") as caught:
        run(tmp_path, recipe="cnn", init="shipped")
    assert "shipped, of the recipe " in str(caught.value)


def test_a_bundle_of_another_recipe_is_refused(tmp_path, bundle_path):
    with pytest.raises(UserError, match="the architecture of --init differs"):
        run(tmp_path, recipe="cnn", init=str(bundle_path))


@pytest.mark.slow
def test_an_empty_class_causes_a_warning(tmp_path, label_folder, capsys):
    files = [file for file in sorted(label_folder.glob("*/*.png")) if file.parent.name != "7"]
    rows = [f"{file},{file.parent.name}" for file in files]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    run(tmp_path, data=f"labels:{tmp_path}/labels.csv")
    assert f"warning: labels:{tmp_path}/labels.csv has no training image of 7" in capsys.readouterr().out


@pytest.mark.slow
def test_unreadable_images_and_sources_reach_card_and_report(tmp_path, label_folder, few_digits):
    noise = np.random.default_rng(4)
    (label_folder / "unreadable").mkdir()
    for number in range(100):
        picture = noise.integers(0, 256, (28, 28)).astype(np.uint8)
        cv2.imwrite(str(label_folder / "unreadable" / f"{number}.png"), picture)
    idx = f"idx:{write_set(tmp_path / 'idx', few_digits)}"
    result = run(tmp_path, data=(idx, f"folder:{label_folder}"), epochs=8)
    card = ModelCard.from_json((result.bundle / "model_card.json").read_text())
    assert 60 < card.not_digits < 95 < sum(card.class_counts)
    assert set(card.trust.not_digits) == {"validation", "test"}
    assert set(card.trust.sources["test"]) == {idx, f"folder:{label_folder}"}
    folder = card.trust.sources["test"][f"folder:{label_folder}"]
    assert folder.not_digits == card.trust.not_digits["test"]
    assert sum(each.images for each in card.trust.sources["test"].values()) == card.test_accuracy.images
    assert folder.not_digits.share < 0.2
    page = (tmp_path / "run" / "report.html").read_text()
    assert "of the test data" in page
    assert "At the threshold by source, test images" in page
