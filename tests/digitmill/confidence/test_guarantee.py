import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitmill.confidence.exact_bounds import upper_bound
from digitmill.confidence.guarantee import (
    GRID,
    Shortfall,
    choose_tuning,
    guarantee,
    least_images,
    tuning_part,
)
from schemas.model.trust import DELTA, Guarantee

DRAWS = 1_000
MOST_BROKEN = 67
"""Of 1,000 draws that break a promise with probability 0.05, more break it once in a hundred times."""


class Digits:
    """A model's answers on a population of digits: confidences, and how likely each is wrong.

    `worse` multiplies the errors that the confidences claim; the surest answer is wrong as often as `floor`.
    """

    def __init__(self, *, worse: float, floor: float = 0.0) -> None:
        rng = np.random.default_rng(7)
        self.confidence = np.clip(1 - 10 ** -rng.uniform(0.05, 6, 200_000), 0.1, 1).astype(np.float32)
        self.error = np.minimum(0.9, np.maximum(floor, (1 - self.confidence.astype(np.float64)) * worse))

    def draw(self, images: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        rows = rng.integers(0, len(self.error), images)
        return self.confidence[rows], rng.random(images) >= self.error[rows]

    def error_at(self, threshold: float) -> float:
        accepted = self.confidence >= threshold
        return float(self.error[accepted].mean()) if accepted.any() else 0.0

    def coverage_at(self, threshold: float) -> float:
        return float((self.confidence >= threshold).mean())

    def best_coverage(self, target: float) -> float:
        return max(self.coverage_at(each) for each in GRID if self.error_at(each) <= 1 - target)


def promises(digits: Digits, images: int, target: float, draws: int) -> list[Guarantee | Shortfall]:
    rng = np.random.default_rng(11)
    tuning = np.arange(images) < tuning_part(images)
    return [guarantee(*digits.draw(images, rng), tuning=tuning, target=target) for _ in range(draws)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("digits", "images", "target", "least_kept", "least_coverage"),
    [
        pytest.param(Digits(worse=1), 2_000, 0.99, 0.9, 0.8, id="calibrated"),
        pytest.param(Digits(worse=5), 2_000, 0.99, 0.9, 0.8, id="overconfident"),
        pytest.param(Digits(worse=1), 20_000, 0.999, 0.85, 0.75, id="strict"),
        # As wrong as the promise allows at every threshold: each pass breaks or just keeps it.
        pytest.param(Digits(worse=0, floor=0.0101), 1_000, 0.99, 0.0, 0.0, id="just too bad"),
        # The surest answers are the worst: no order of risk is assumed.
        pytest.param(Digits(worse=0.2, floor=0.008), 2_000, 0.99, 0.0, 0.0, id="barely good enough"),
    ],
)
def test_the_promise_is_broken_in_at_most_delta_of_a_thousand_draws(
    digits: Digits, images: int, target: float, least_kept: float, least_coverage: float
) -> None:
    found = [each for each in promises(digits, images, target, DRAWS) if isinstance(each, Guarantee)]
    broken = sum(digits.error_at(each.threshold) > 1 - target for each in found)
    assert broken <= MOST_BROKEN
    assert len(found) >= least_kept * DRAWS
    if least_coverage:
        # Not vacuous: nearly as much is accepted as could be.
        mean = np.mean([digits.coverage_at(each.threshold) for each in found])
        assert mean >= least_coverage * digits.best_coverage(target)


def test_a_promise_says_what_it_rests_on() -> None:
    digits = Digits(worse=1)
    (found,) = promises(digits, 5_000, 0.99, 1)
    assert isinstance(found, Guarantee)
    assert (found.target, found.delta, found.images, found.tuning) == (0.99, DELTA, 4_500, 500)
    assert found.error_bound == upper_bound(found.wrong, found.accepted, DELTA) <= 0.01
    assert found.coverage == found.accepted / 4_500
    assert found.threshold == np.float32(found.threshold)


@given(st.integers(0, 2_000), st.integers(0, 10_000), st.sampled_from([0.9, 0.99, 0.999]))
@settings(max_examples=50, deadline=None)
def test_a_promise_counts_the_tested_images_alone(images: int, seed: int, target: float) -> None:
    rng = np.random.default_rng(seed)
    confidence, right = Digits(worse=1).draw(images, rng)
    tuning = rng.random(images) < 0.2
    found = guarantee(confidence, right, tuning=tuning, target=target)
    if isinstance(found, Shortfall):
        assert found.images == images
        return
    accepted = ~tuning & (confidence >= found.threshold)
    assert found.accepted == accepted.sum() >= least_images(target)
    assert found.wrong == (accepted & ~right).sum()
    assert found.error_bound <= 1 - target + 1e-12


def test_too_few_labels_say_how_many_more_are_needed() -> None:
    digits = Digits(worse=1)
    (short,) = promises(digits, 300, 0.999, 1)
    assert isinstance(short, Shortfall)
    assert "300 labeled images do not show that 99.9 % of the accepted ones are right: about" in str(short)
    assert short.needed > least_images(0.999)
    # So many are enough, as likely as not.
    kept = promises(digits, short.needed, 0.999, 20)
    assert sum(isinstance(each, Guarantee) for each in kept) >= 5


def test_a_model_that_is_wrong_at_any_confidence_needs_no_more_labels() -> None:
    (short,) = promises(Digits(worse=0, floor=0.3), 1_000, 0.99, 1)
    assert isinstance(short, Shortfall)
    assert short.needed is None
    assert str(short).endswith("and at no threshold are so many of them right")


def test_no_labels_promise_nothing() -> None:
    none = np.zeros(0)
    assert guarantee(none, none.astype(bool), tuning=none.astype(bool), target=0.9) == Shortfall(0.9, 0)


def test_the_images_that_are_not_tested_follow_from_their_pixels() -> None:
    digits = np.random.default_rng(3).integers(0, 256, (1_000, 28, 28)).astype(np.uint8)
    chosen = choose_tuning(digits)
    assert chosen.sum() == tuning_part(1_000) == 200
    order = np.random.default_rng(4).permutation(1_000)
    assert (choose_tuning(digits[order]) == chosen[order]).all()
    assert tuning_part(100_000) == 500
