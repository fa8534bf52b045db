import csv
import subprocess
import sys

import numpy as np
import pytest

from digitmill import extras
from digitmill.confidence.scaling import apply_temperature
from digitmill.engines.bundle_loader import open_bundle
from digitmill.reports.card_text import format_card
from schemas.errors import UserError
from schemas.labels import UNREADABLE
from tests.trainer.idx_files import write_set
from trainer.data.sources import embedded_sample
from trainer.job.calibrate_job import run
from trainer.job.calibrate_options import CalibrateOptions


def calibrate(bundle_path, output, **settings):
    given = {"model": str(bundle_path), "output": str(output), "target_accuracy": 0.95} | settings
    return run(CalibrateOptions(**given))


@pytest.fixture
def made(bundle_path, digit_folder, tmp_path):
    return calibrate(bundle_path, tmp_path / "made", data=(f"folder:{digit_folder}",))


def test_the_bundle_is_whole_and_scores_with_the_temperature_of_its_card(made, bundle_path, digits):
    before, after = open_bundle(bundle_path), open_bundle(made.bundle)
    assert after.digest == made.digest != before.digest
    assert after.card.files == before.card.files
    expected = apply_temperature(before.load().probabilities(digits), after.card.scoring_temperature)
    assert after.load().probabilities(digits) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("engine", ["litert", "litert_int8", "saved_model"])
@pytest.mark.slow
def test_every_engine_opens_it(made, engine):
    assert open_bundle(made.bundle, engine).load() is not None


def test_the_card_says_what_is_promised_and_on_what(made, bundle_path, digits, labels):
    card = open_bundle(made.bundle).card
    promise = card.guarantee
    assert (promise.target, promise.delta, promise.images, promise.tuning) == (0.95, 0.05, 400, 100)
    assert card.accept_threshold == promise.threshold
    assert promise.error_bound <= 0.05
    assert card.trust is None
    assert card.recalibration.bundle == open_bundle(bundle_path).digest
    assert sum(card.recalibration.class_counts) == card.recalibration.images == 500
    assert sum(card.recalibration.confidence_histogram) == pytest.approx(1)
    assert sum(card.recalibration.pixel_histogram) == pytest.approx(1)
    text = format_card(card)
    assert "at least 95 % of the accepted right, 95 % sure on 400 images" in text
    assert "Calibrated on other images" in text
    answers = open_bundle(made.bundle).load().probabilities(digits)
    accepted = answers.max(axis=1) >= card.accept_threshold
    # All 500, of which 400 were tested.
    assert promise.accepted <= accepted.sum() <= promise.accepted + 100
    wrong = (accepted & (answers.argmax(axis=1) != labels)).sum()
    assert promise.wrong <= wrong <= promise.wrong + 100


def test_the_same_images_in_another_order_give_the_same_threshold(made, bundle_path, digit_folder, tmp_path):
    files = sorted(digit_folder.rglob("*.png"), key=lambda path: path.name[::-1])
    lines = ["path,label", *(f"{file},{file.parent.name}" for file in files)]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    again = calibrate(bundle_path, tmp_path / "again", labels=str(tmp_path / "labels.csv"))
    assert again.card.recalibration.temperature == pytest.approx(made.card.recalibration.temperature)
    assert again.card.guarantee == made.card.guarantee


def test_an_accepted_image_that_is_unreadable_is_wrong(bundle_path, digit_folder, tmp_path):
    files = sorted(digit_folder.rglob("*.png"))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label"])
        for number, path in enumerate(files):
            rows.writerow([path, path.parent.name if number % 2 else UNREADABLE])
    with pytest.raises(UserError, match="at no threshold are so many of them right"):
        calibrate(bundle_path, tmp_path / "made", labels=str(tmp_path / "labels.csv"))
    assert not (tmp_path / "made").exists()


def test_too_few_labels_are_refused_with_the_number_that_is_missing(bundle_path, digit_folder, tmp_path):
    with pytest.raises(UserError, match=r"500 labeled images do not show .* more are needed to accept"):
        calibrate(bundle_path, tmp_path / "made", data=(f"folder:{digit_folder}",), target_accuracy=0.999)
    assert not (tmp_path / "made").exists()


def test_images_of_the_training_are_refused(bundle_path, tmp_path):
    with pytest.raises(UserError, match="the model was trained on these images"):
        calibrate(bundle_path, tmp_path / "made", data=("sample",))
    made = calibrate(bundle_path, tmp_path / "made", data=("sample",), split="test")
    assert made.card.recalibration.images == 500


def test_images_that_training_holds_out_are_a_validation_split(bundle_path, tmp_path):
    idx = f"idx:{write_set(tmp_path / 'idx', embedded_sample.digits())}"
    made = calibrate(bundle_path, tmp_path / "made", data=(idx,), split="validation", target_accuracy=0.9)
    # A twelfth of 4,000, as the recipe says.
    assert made.card.recalibration.images == pytest.approx(333, abs=5)


def test_a_validation_split_needs_the_recipe(bundle_path, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "tensorflow")
    with pytest.raises(UserError, match="TensorFlow is not installed: '--split validation'"):
        calibrate(bundle_path, tmp_path / "made", data=("sample",), split="validation")


def test_a_calibrated_bundle_can_be_calibrated_again(made, digit_folder, tmp_path):
    again = calibrate(made.bundle, tmp_path / "again", data=(f"folder:{digit_folder}",))
    opened = open_bundle(again.bundle)
    assert opened.card.recalibration.bundle == made.digest
    assert opened.card.guarantee == made.card.guarantee


def test_an_overconfident_model_gets_a_temperature(bundle_path, tmp_path, digits, labels, png_of):
    # Every fifth label is another digit: the model is sure of all of them.
    given = np.where(np.arange(500) % 5, labels, (labels + 1) % 10)
    lines = ["path,label"]
    for number, (digit, label) in enumerate(zip(digits, given, strict=True)):
        (tmp_path / f"{number}.png").write_bytes(png_of(digit))
        lines.append(f"{number}.png,{label}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    made = calibrate(bundle_path, tmp_path / "made", labels=str(tmp_path / "labels.csv"), target_accuracy=0.6)
    found = made.card.recalibration
    assert found.temperature > 1.3
    assert found.after.log_loss < found.before.log_loss
    # Calibrated once more on the same images, it is the same: temperatures do not add up.
    again = calibrate(
        made.bundle, tmp_path / "again", labels=str(tmp_path / "labels.csv"), target_accuracy=0.6
    )
    assert again.card.recalibration.temperature == found.temperature
    assert again.card.recalibration.guarantee == found.guarantee
    assert again.card.recalibration.before == found.after


def test_a_used_output_and_missing_labels_are_refused(bundle_path, digit_folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="the output folder is not empty"):
        calibrate(bundle_path, tmp_path, data=(f"folder:{digit_folder}",))
    with pytest.raises(UserError, match="there are no labeled images"):
        calibrate(bundle_path, tmp_path / "made")


@pytest.mark.slow
def test_no_tensorflow_is_loaded(bundle_path, digit_folder, tmp_path):
    code = (
        "import sys; from trainer.job.calibrate_job import run; "
        "from trainer.job.calibrate_options import CalibrateOptions; "
        f"run(CalibrateOptions(model={str(bundle_path)!r}, data=('folder:{digit_folder}',), "
        f"target_accuracy=0.9, output={str(tmp_path / 'made')!r})); "
        "print([name for name in ('tensorflow', 'keras', 'apache_beam') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
