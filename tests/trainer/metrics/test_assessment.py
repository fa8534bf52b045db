import dataclasses

import numpy as np
import pytest

from schemas.digit import NOT_A_DIGIT
from schemas.errors import UserError
from schemas.model import bundle
from schemas.model.accuracy import Accuracy
from schemas.model.model_card import ExportedFormat, ModelCard
from schemas.model.trust import Calibration, NotDigits, SourceTrust
from trainer.data.sources import embedded_sample
from trainer.data.splits import Split
from trainer.metrics import assessment
from trainer.metrics.assessment import DEFAULT_THRESHOLD, Evidence, assess, check_target, summary

WHOLE = embedded_sample.digits()
SPLITS = {"train": WHOLE.train.images[:10], "validation": WHOLE.validation, "test": WHOLE.test}


class Model:
    """Knows every digit of the sample, and is wrong on some of them, with a given confidence."""

    def __init__(self, split: Split, confidence: np.ndarray, wrong: np.ndarray) -> None:
        label = np.where(wrong, (split.labels + 1) % 10, split.labels)
        rows = np.repeat(((1 - confidence) / 9)[:, None], 10, axis=1)
        rows[np.arange(len(label)), label] = confidence
        self._known = {
            image.tobytes(): row for image, row in zip(split.images, rows.astype(np.float32), strict=True)
        }

    def __call__(self, digits: np.ndarray) -> np.ndarray:
        unknown = np.full(10, 0.1, np.float32)
        return np.stack([self._known.get(digit.tobytes(), unknown) for digit in digits])


@pytest.fixture(scope="module")
def model() -> Model:
    """Confidence rises over the validation images; the five least sure are wrong, and one in the middle."""
    confidence = np.linspace(0.4, 0.999, 500)
    wrong = np.zeros(500, bool)
    wrong[[0, 1, 2, 3, 4, 250]] = True
    return Model(WHOLE.validation, confidence, wrong)


def test_the_default_threshold_needs_no_images(model: Model) -> None:
    threshold, found = assess(model, Evidence(**SPLITS))
    assert threshold == DEFAULT_THRESHOLD == 0.9
    assert found.target_accuracy is None
    assert found.accepted is not None
    assert found.accepted.accepted == int((np.linspace(0.4, 0.999, 500) >= 0.9).sum())


@pytest.mark.slow
def test_a_target_chooses_the_threshold_on_validation_images(model: Model) -> None:
    threshold, found = assess(model, Evidence(**SPLITS, target=0.98))
    promise = found.guarantee
    assert (found.target_accuracy, promise.target, promise.delta) == (0.98, 0.98, 0.05)
    assert (promise.images, promise.tuning, promise.threshold) == (400, 100, threshold)
    assert promise.error_bound <= 0.02
    assert found.accepted.accepted >= promise.accepted >= 149
    lower, _ = assess(model, Evidence(**SPLITS, target=0.9))
    assert lower < threshold


@pytest.mark.slow
def test_a_target_that_no_threshold_is_sure_to_keep_accepts_nothing(
    model: Model, capsys: pytest.CaptureFixture
) -> None:
    threshold, found = assess(model, Evidence(**SPLITS, target=0.998))
    assert (threshold, found.target_accuracy, found.guarantee) == (1.0, 0.998, None)
    assert found.accepted.accepted == 0
    assert "500 labeled images do not show that 99.8 % of the accepted" in capsys.readouterr().err


def test_a_given_threshold_overrides_the_target(model: Model) -> None:
    threshold, found = assess(model, Evidence(**SPLITS, target=0.9, threshold=0.25))
    assert (threshold, found.target_accuracy) == (0.25, None)
    assert found.accepted.coverage == 1


def test_without_held_out_images_the_test_images_are_assessed(model: Model) -> None:
    before = Calibration(1, 1, 1)
    threshold, found = assess(model, Evidence(**SPLITS | {"validation": None}, uncalibrated=None))
    assert threshold == DEFAULT_THRESHOLD
    assert (found.uncalibrated, found.validation, found.accepted) == (None, None, None)
    assert {row.images for row in found.coverage} == {500}
    assert assess(model, Evidence(**SPLITS, uncalibrated=before))[1].uncalibrated == before


def test_the_tables_thresholds_rise_and_its_coverage_falls(model: Model) -> None:
    _, found = assess(model, Evidence(**SPLITS))
    assert [row.threshold for row in found.coverage] == sorted(assessment.THRESHOLDS)
    accepted = [row.accepted for row in found.coverage]
    assert accepted == sorted(accepted, reverse=True)
    assert set(found.unfamiliar) == {"letters", "blank", "noise", "two_digits"}


def test_a_target_without_held_out_images_is_refused() -> None:
    check_target(None, None)
    with pytest.raises(UserError, match="--target-accuracy needs held-out images") as refused:
        check_target(0.99, None)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("target", "images", "problem"),
    [
        (0.99, 374, None),
        (0.99, 373, "too few validation images for --target-accuracy: 298 of 373 test thresholds"),
        (1.0, 500, "no number of images can prove that all accepted answers are right"),
    ],
)
def test_too_few_images_for_a_target_are_refused(target: float, images: int, problem: str | None) -> None:
    validation = WHOLE.validation.take(slice(images))
    if problem is None:
        check_target(target, validation)
        return
    with pytest.raises(UserError, match=problem):
        check_target(target, validation)


def test_the_summary_has_the_coverage_and_the_default_format(model: Model) -> None:
    threshold, found = assess(model, Evidence(**SPLITS, uncalibrated=Calibration(1, 0.5, 1), threshold=0.7))
    row = ExportedFormat(bundle.LITERT_INT8_MODEL, 1, Accuracy(494, 500), 1234.5, 0.0)
    card = ModelCard(
        **{
            field.name: None
            for field in dataclasses.fields(ModelCard)
            if field.default is dataclasses.MISSING
        }
        | {
            "temperature": 1.25,
            "files": {},
            "accept_threshold": threshold,
            "class_counts": (1,) * 10,
            "confidence_histogram": (0.05,) * 20,
            "pixel_histogram": (0.05,) * 20,
            "trust": found,
            "exports": (row,),
            "litert_model": bundle.LITERT_INT8_MODEL,
        }
    )
    lines = summary(card)
    assert lines["temperature"] == "1.250"
    assert lines["calibration"].endswith("0.5000 without temperature")
    assert lines["threshold"].endswith("accepts 50.00 % of validation images, 99.60 % of them right")
    assert lines["on CPUs"] == "model_int8.tflite: 98.80 % of the validation images right, 1,234 images/s"
    assert summary(dataclasses.replace(card, trust=None)) == {"temperature": "1.250"}


def with_noise(split: Split, *, images: int) -> Split:
    noise = np.random.default_rng(1).integers(0, 256, (images, 28, 28)).astype(np.uint8)
    labels = np.concatenate([split.labels, np.full(images, NOT_A_DIGIT, np.uint8)])
    return Split(np.concatenate([split.images, noise]), labels)


def sure_of_noise(split: Split, confidences: np.ndarray) -> Model:
    """Right on every digit, ever surer; of the pictures that are no digit, sure of a 1 as given."""
    digits = split.labels != NOT_A_DIGIT
    confidence = np.concatenate([np.linspace(0.4, 0.99, int(digits.sum())), confidences])
    return Model(
        dataclasses.replace(split, labels=np.where(digits, split.labels, 1).astype(np.uint8)),
        confidence,
        np.zeros(len(split), bool),
    )


def test_pictures_that_are_no_digit_count_for_the_threshold_alone() -> None:
    held_out = with_noise(WHOLE.validation, images=4)
    model = sure_of_noise(held_out, np.array([0.2, 0.3, 0.6, 0.95]))
    _, found = assess(model, Evidence(**SPLITS | {"validation": held_out}))
    assert found.accepted.images == 500
    assert found.accepted.accuracy == 1
    assert found.not_digits == {"validation": NotDigits(4, 1)}
    alone = assess(model, Evidence(**SPLITS))[1]
    assert (alone.validation, alone.accepted, alone.coverage) == (
        found.validation,
        found.accepted,
        found.coverage,
    )
    assert alone.not_digits == {}
    promised = assess(model, Evidence(**SPLITS | {"validation": held_out}, target=0.9))[1].guarantee
    assert promised.images + promised.tuning == 504
    assert promised.wrong <= 4 <= promised.images - promised.accepted + promised.wrong + promised.tuning


def test_a_mixture_is_measured_source_by_source() -> None:
    held_out = with_noise(WHOLE.validation, images=4)
    origin = np.repeat([0, 2, 3], [300, 200, 4]).astype(np.uint16)
    held_out = dataclasses.replace(held_out, sources=origin)
    model = sure_of_noise(held_out, np.array([0.2, 0.3, 0.6, 0.95]))
    names = ("sample", "folder:train-only", "folder:x", "folder:letters")
    _, found = assess(model, Evidence(**SPLITS | {"validation": held_out}, threshold=0.8, sources=names))
    sure = np.linspace(0.4, 0.99, 500) >= 0.8
    assert found.sources == {
        "validation": {
            "sample": SourceTrust(300, 300, 0, 0, NotDigits(0, 0)),
            "folder:x": SourceTrust(200, 200, int(sure.sum()), int(sure.sum()), NotDigits(0, 0)),
            "folder:letters": SourceTrust(0, 0, 0, 0, NotDigits(4, 1)),
        }
    }
    letters = found.sources["validation"]["folder:letters"]
    assert (letters.accuracy, letters.coverage, letters.accepted_accuracy) == (None, None, None)
