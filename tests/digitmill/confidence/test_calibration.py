import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.confidence.calibration import expected_calibration_error, fit_temperature, measure
from digitmill.confidence.scaling import apply_temperature


def answers(images: int, seed: int, *, sharpness: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are calibrated by their making: labels are drawn from them."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(images, 10)) * sharpness
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) > random.random((images, 1))).argmax(axis=1)
    return probabilities, labels


@pytest.mark.parametrize("temperature", [0.4, 0.7, 1.5, 3.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    probabilities, labels = answers(20_000, 1)
    spoilt = apply_temperature(probabilities, temperature)
    assert fit_temperature(spoilt, labels) == pytest.approx(1 / temperature, rel=0.05)


def test_the_inverse_temperature_restores_the_probabilities() -> None:
    probabilities, _ = answers(100, 2)
    assert apply_temperature(apply_temperature(probabilities, 2.0), 0.5) == pytest.approx(
        probabilities, abs=1e-6
    )


def test_calibrated_probabilities_hardly_change() -> None:
    probabilities, labels = answers(50_000, 3)
    assert fit_temperature(probabilities, labels) == pytest.approx(1.0, abs=0.03)


def test_a_temperature_that_does_not_help_is_not_kept() -> None:
    probabilities, _ = answers(500, 4)
    # Right every time: likelihood would only rise with ever more confidence, and so it does help; wrong
    # confidence that one number cannot mend does not.
    right = probabilities.argmax(axis=1)
    assert fit_temperature(probabilities, right) < 0.2
    certain = np.eye(10)[right] * 0.999 + 0.0001
    assert fit_temperature(certain / certain.sum(axis=1, keepdims=True), right) <= 1.0


@given(st.integers(1, 300), st.integers(0, 1000), st.floats(0.2, 5))
def test_temperature_changes_no_digit(images: int, seed: int, temperature: float) -> None:
    probabilities, _ = answers(images, seed)
    scaled = apply_temperature(probabilities, temperature)
    assert (scaled.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert scaled.sum(axis=1) == pytest.approx(1)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.65, 0.65])
    probabilities = np.stack([confidence, 1 - confidence, *[np.zeros(4)] * 8], axis=1)
    labels = np.array([0, 1, 0, 0])
    # In the upper bin half are right at 0.95, in the lower all at 0.65.
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.5 * 0.45 + 0.5 * 0.35)


def test_calibration_error_of_certain_predictions() -> None:
    labels = np.arange(10)
    right, wrong = measure(np.eye(10), labels), measure(np.eye(10), (labels + 1) % 10)
    assert (right.ece, right.brier, right.log_loss) == pytest.approx((0, 0, 0), abs=1e-9)
    assert (wrong.ece, wrong.brier) == pytest.approx((1, 2))
