import dataclasses

import numpy as np
import pytest

from schemas.errors import UserError
from schemas.model import bundle
from schemas.model.accuracy import Accuracy
from schemas.model.model_card import ExportedFormat, ModelCard
from schemas.model.trust import Calibration
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
    threshold, found = assess(model, Evidence(**SPLITS, target=1.0))
    assert (found.target_accuracy, found.accepted.accuracy) == (1.0, 1.0)
    assert found.accepted.accepted == 249
    confidence = np.linspace(0.4, 0.999, 500)
    assert confidence[250] < threshold < confidence[251]
    lower, _ = assess(model, Evidence(**SPLITS, target=0.99))
    assert confidence[4] > lower


def test_a_given_threshold_overrides_the_target(model: Model) -> None:
    threshold, found = assess(model, Evidence(**SPLITS, target=1.0, threshold=0.25))
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
    ("target", "images", "warned"), [(0.998, 500, False), (0.999, 500, True), (1.0, 9, True)]
)
def test_too_few_images_for_a_target_cause_a_warning(
    capsys: pytest.CaptureFixture, target: float, images: int, warned: bool
) -> None:
    check_target(target, WHOLE.validation.take(slice(images)))
    assert ("too few to tell an accuracy" in capsys.readouterr().err) == warned


def test_the_summary_has_the_coverage_and_the_default_format(model: Model) -> None:
    threshold, found = assess(model, Evidence(**SPLITS, uncalibrated=Calibration(1, 0.5, 1), target=1.0))
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
    assert lines["threshold"].endswith("accepts 49.80 % of validation images, 100.00 % of them right")
    assert lines["on CPUs"] == "model_int8.tflite: 98.80 % of the same images, 1,234 images/s"
    assert summary(dataclasses.replace(card, trust=None)) == {"temperature": "1.250"}
