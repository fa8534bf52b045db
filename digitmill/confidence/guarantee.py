"""Chooses an accept threshold with a statistical guarantee, from labeled images.

The guarantee: at most a share `1 - target` of the images that the threshold accepts is wrong. It fails with
probability `delta` at most, over the draw of the labeled images, for any model and any confidences. The
labeled images must be a random sample of the images that are scored later.

The method is split fixed sequence testing of A. N. Angelopoulos, S. Bates, E. J. Candès, M. I. Jordan and L.
Lei, "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk Control", 2021
(https://arxiv.org/abs/2110.01052); the task, selective classification with guaranteed risk, and the binomial
bound are those of Y. Geifman and R. El-Yaniv, "Selective Classification for Deep Neural Networks", 2017
(https://arxiv.org/abs/1705.08500):

1. The thresholds of a fixed grid are tested from a strict one downward, each at the full `delta`: given the
   number of accepted images, the number of wrong ones is binomial, and the test is exact. The sequence ends
   at the first threshold that fails; the result is the last one that passed.
2. The strictest thresholds accept too few images to pass any test. The start of the sequence is chosen on a
   part of the images that is not used for tests, so the choice costs none of `delta`.
"""

import bisect
import dataclasses
import hashlib
from typing import Final, Self

import numpy as np
from scipy.special import bdtr

from digitmill.confidence.exact_bounds import images_needed, upper_bound
from schemas.model.trust import DELTA, Guarantee

GRID: Final = np.append(1 - 10 ** (-np.arange(240, 0, -1) / 40), 0).astype(np.float32).astype(np.float64)
"""The thresholds that are tested, strictest first: 0.999999 to 0.056 in 40 steps for each tenth of the
distance to 1, and 0, which accepts all. Exact in float32, as confidences are."""

TUNING_SHARE: Final = 0.2
"""Share of the labeled images that are not tested: they choose where the tests begin."""

MOST_TUNING: Final = 500
"""More of them would choose no better."""

_OFFERS: Final = 8
"""One in so many thresholds is looked at for how many labels are missing."""

_WITHIN_REACH: Final = 3
"""How many times as many labels somebody may add, who wants more coverage than the fewest labels give."""

_KEY: Final = b"digitmill tuning"
"""Other hashes than those that split data into training and test images."""

_MOST_ERRORS: Final = 10_000
"""Errors among the labels for which a shortfall still says how many labels would be enough."""


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """Predictions of a model on labeled images, sorted by confidence, highest first.

    Attributes:
        confidence: float[N], confidences of the predicted digits.
        wrong: int64[N + 1], number of wrong predictions among the first 0, 1, … ones.
        doubt: float64[N + 1], the same number as expected from the confidences.
    """

    confidence: np.ndarray
    wrong: np.ndarray
    doubt: np.ndarray

    @classmethod
    def of(cls, confidence: np.ndarray, right: np.ndarray) -> Self:
        """Sort predictions, given their confidences, float[N], and whether they are right, bool[N]."""
        order = np.argsort(-confidence, kind="stable")
        ranked = confidence[order].astype(np.float64)
        return cls(ranked, _sums(~right[order]), _sums(1 - ranked))

    def accepted(self, thresholds: np.ndarray) -> np.ndarray:
        """Return how many predictions each threshold accepts, int64."""
        return len(self.confidence) - np.searchsorted(self.confidence[::-1], thresholds, side="left")


@dataclasses.dataclass(frozen=True)
class Shortfall:
    """How many labeled images are missing if no threshold can be guaranteed.

    Attributes:
        target: the requested accuracy.
        images: number of labeled images given.
        needed: total number of labeled images that is probably enough; None if no number is.
        coverage: share of images that the threshold would accept with this number.
        most_needed: number of labeled images for higher coverage, if not many times as many.
        most_coverage: share of images that the threshold would accept with that number.
    """

    target: float
    images: int
    needed: int | None = None
    coverage: float = 0.0
    most_needed: int | None = None
    most_coverage: float = 0.0

    def __str__(self) -> str:
        share = f"{100 * self.target:g} %"
        given = f"{self.images:,} labeled images do not show that {share} of the accepted ones are right"
        if self.needed is None:
            return f"{given}, and at no threshold are so many of them right"
        missing = max(1, self.needed - self.images)
        more = f"{given}: about {missing:,} more are needed to accept {100 * self.coverage:.0f} %"
        if self.most_needed is None or self.most_needed <= self.needed:
            return more
        return f"{more}, {self.most_needed - self.images:,} more to accept {100 * self.most_coverage:.0f} %"


def least_images(target: float, delta: float = DELTA) -> int:
    """Return how many accepted images prove a target if all of them are right."""
    return images_needed(0, 1 - target, delta)


def tuning_part(images: int) -> int:
    """Return how many of the labeled images are reserved for choosing where the tests begin."""
    return min(MOST_TUNING, round(TUNING_SHARE * images))


def choose_tuning(digits: np.ndarray) -> np.ndarray:
    """Return which images are not tested, bool[N], by a hash of their pixels: independent of their order.

    Args:
        digits: uint8[N, 28, 28] canonical digits.
    """
    hashes = [hashlib.blake2b(digit.tobytes(), digest_size=8, key=_KEY).digest() for digit in digits]
    chosen = np.zeros(len(digits), bool)
    chosen[np.argsort(np.array(hashes, "S8"), kind="stable")[: tuning_part(len(digits))]] = True
    return chosen


def guarantee(
    confidence: np.ndarray, right: np.ndarray, *, tuning: np.ndarray, target: float, delta: float = DELTA
) -> Guarantee | Shortfall:
    """Return the lowest threshold that can be guaranteed, or what is missing for one.

    Args:
        confidence: float[N], confidences of the predicted digits. Only the images of `tuning` may have been
            used to fit them.
        right: bool[N]; false for an image without a digit, for which no prediction is right.
        tuning: bool[N], the images that are not tested; must be independent of the other two arrays.
        target: guaranteed accuracy of the accepted images, in [0, 1).
        delta: probability with which the guarantee may fail, in (0, 1).
    """
    rate = 1 - target
    tested = Answers.of(confidence[~tuning], right[~tuning])
    counts = tested.accepted(GRID)
    wrong = tested.wrong[counts]
    passed = (bdtr(wrong, np.maximum(counts, 1), rate) <= delta) & (counts > 0)
    start = _start(
        Answers.of(confidence[tuning], right[tuning]), len(tested.confidence), rate=rate, delta=delta
    )
    if start is None or not passed[start]:
        return _shortfall(Answers.of(confidence, right), target=target, delta=delta)
    failed = np.flatnonzero(~passed[start:])
    last = (start + failed[0] if len(failed) else len(GRID)) - 1
    accepted, mistakes = int(counts[last]), int(wrong[last])
    return Guarantee(
        target=target,
        delta=delta,
        threshold=float(GRID[last]),
        images=len(tested.confidence),
        accepted=accepted,
        wrong=mistakes,
        error_bound=upper_bound(mistakes, accepted, delta),
        tuning=int(tuning.sum()),
    )


def _start(chosen_on: Answers, images: int, *, rate: float, delta: float) -> int | None:
    """Return the index in `GRID` of the threshold likeliest to pass on so many others; None if none is.

    The error rate at a threshold is taken to be the mean of what its answers have shown and of what their
    confidences say: of a few hundred answers often none is wrong.
    """
    if not len(chosen_on.confidence):
        return None
    counts = chosen_on.accepted(GRID)
    accepted = np.floor(counts / len(chosen_on.confidence) * images)
    errors = (chosen_on.wrong[counts] + chosen_on.doubt[counts]) / 2 / np.maximum(counts, 1)
    allowed = _allowed(accepted, rate, delta)
    power = np.where(
        allowed >= 0, bdtr(np.maximum(allowed, 0), np.maximum(accepted, 1), np.minimum(errors, 1)), 0
    )
    best = int(power.argmax())
    return best if power[best] > 0 else None


def _allowed(images: np.ndarray, rate: float, delta: float) -> np.ndarray:
    """Return how many of so many images may be wrong for the test to pass; -1 where it fails with none."""
    low, high = np.full(images.shape, -1.0), np.maximum(np.floor(images), 0)
    # The greatest number that passes is in [low, high): the test passes with fewer, and fails with all.
    while (open_ := high - low > 1).any():
        middle = np.floor((low + high) / 2)
        passes = bdtr(middle, np.maximum(images, 1), rate) <= delta
        low, high = np.where(open_ & passes, middle, low), np.where(open_ & ~passes, middle, high)
    return low


def _shortfall(answers: Answers, *, target: float, delta: float) -> Shortfall:
    """Return how many labels would show the target, if the others are as those that there are."""
    images = len(answers.confidence)
    counts = answers.accepted(GRID[_OFFERS::_OFFERS])
    offers = []
    for index in np.unique(counts, return_index=True)[1].tolist():
        accepted, shown = int(counts[index]), float(answers.wrong[counts[index]])
        # Of a few hundred answers often none is wrong: then the confidences know better.
        wrong = max(shown, (shown + float(answers.doubt[accepted])) / 2)
        needed = _accepted_needed(wrong, accepted, rate=1 - target, delta=delta) if accepted else None
        if needed is not None:
            offers.append((_total(needed * images / accepted), accepted / images))
    if not offers:
        return Shortfall(target, images)
    fewest = min(offers)
    within_reach = (offer for offer in offers if offer[0] <= _WITHIN_REACH * fewest[0])
    most = max(within_reach, key=lambda offer: offer[1])
    return Shortfall(target, images, *fewest, *most)


def _accepted_needed(wrong: float, accepted: int, *, rate: float, delta: float) -> int | None:
    """Return how many accepted images show a rate if as many are wrong as of these; None if none would."""
    if wrong >= rate * accepted:
        return None
    # Of more images a greater share may be wrong: the fewest that allow for as many errors as are expected.
    errors = range(_MOST_ERRORS)
    enough = bisect.bisect_left(
        errors, True, key=lambda count: wrong * images_needed(count, rate, delta) <= count * accepted
    )
    return images_needed(enough, rate, delta) if enough < len(errors) else None


def _total(tested: float) -> int:
    """Return how many labels there must be for so many to be tested."""
    return int(np.ceil(min(tested / (1 - TUNING_SHARE), tested + MOST_TUNING)))


def _sums(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(values)])
