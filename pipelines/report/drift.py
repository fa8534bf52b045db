"""Data drift of a run against a reference: population stability indices, and sentences that explain them.

An index is the sum over bins of (p - q) ln(p / q), for shares p in the run and q in the reference. Below 0.1
is commonly called stable, from 0.25 a large shift; see B. Yurdakul, "Statistical Properties of Population
Stability Index", Western Michigan University 2018. Without drift, the index is distributed as (1/n + 1/m)
times a chi-squared variable with one degree of freedom less than there are bins.
"""

import csv
import dataclasses
import enum
import io
import math
from collections.abc import Iterator, Sequence
from typing import Final, Self

from digitmill.reports.numbers import NONE, fraction, share
from schemas.digit import CLASSES
from schemas.model.model_card import HISTOGRAM_BINS, ModelCard

MODERATE, LARGE = 0.1, 0.25

_MIN_SHARE: Final = 1e-4
"""Least share of a bin: an empty one would make the index infinite."""

DISTRIBUTIONS_HEADER: Final = ("measure", "low", "high", "count")
"""Columns of `distributions.csv`."""

MEASURE_NAMES: Final = {"digits": "predicted digits", "confidences": "confidence", "grey_levels": "ink"}
"""Measures of `Distributions`, and what the report calls them."""

_UPPER_BOUNDS: Final = {"digits": CLASSES, "confidences": 1, "grey_levels": 255}
"""Measures of `Distributions`, and where their last bin ends."""


class Shift(enum.StrEnum):
    """Interpretation of an index."""

    STABLE = "stable"
    MODERATE = "moderate"
    LARGE = "large"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class Distributions:
    """Histograms of a set of images.

    Attributes:
        images: number of images.
        digits: by class, predicted or, of a training set, true; counts or shares.
        confidences: by bin of equal width over [0, 1].
        grey_levels: pixels by bin of equal width over [0, 255]; all zero where they are not known.
    """

    images: int
    digits: tuple[float, ...]
    confidences: tuple[float, ...]
    grey_levels: tuple[float, ...]

    @classmethod
    def from_card(cls, card: ModelCard) -> Self:
        """Return the distributions of a model's training set."""
        return cls(sum(card.class_counts), card.class_counts, card.confidence_histogram, card.pixel_histogram)

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Yield the rows of `distributions.csv`."""
        for measure, highest in _UPPER_BOUNDS.items():
            counts = getattr(self, measure)
            for number, count in enumerate(counts):
                low, high = (highest * edge / len(counts) for edge in (number, number + 1))
                yield measure, f"{low:g}", f"{high:g}", f"{count:g}" if count % 1 else int(count)

    @classmethod
    def from_csv(cls, data: bytes) -> Self:
        """Read `distributions.csv`.

        Raises:
            ValueError: when the columns, a measure or the number of bins is wrong.
        """
        found: dict[str, list[float]] = {measure: [] for measure in _UPPER_BOUNDS}
        rows = csv.reader(io.StringIO(data.decode(), newline=""))
        if tuple(next(rows, ())) != DISTRIBUTIONS_HEADER:
            raise ValueError(f"distributions without the columns {', '.join(DISTRIBUTIONS_HEADER)}")
        for measure, *_, count in rows:
            if measure not in found:
                raise ValueError(f"unknown measure {measure!r}, none of {', '.join(found)}")
            found[measure].append(int(count))
        sizes = tuple(map(len, found.values()))
        if sizes != (CLASSES, HISTOGRAM_BINS, HISTOGRAM_BINS):
            raise ValueError(f"distributions of {sizes} bins, not {CLASSES} and twice {HISTOGRAM_BINS}")
        return cls(int(sum(found["digits"])), *map(tuple, found.values()))


@dataclasses.dataclass(frozen=True)
class Drift:
    """Drift of one measure.

    Attributes:
        measure: field of `Distributions`.
        index: the population stability index; None where one side is not known.
        chance_level: 95 % quantile of the index without drift.
    """

    measure: str
    index: float | None
    chance_level: float

    @property
    def shift(self) -> Shift:
        """Interpretation of the index; unknown where the images are too few to exclude chance."""
        if self.index is None:
            return Shift.UNKNOWN
        if self.index < MODERATE:
            return Shift.STABLE
        if self.chance_level >= MODERATE and self.index < self.chance_level:
            return Shift.UNKNOWN
        return Shift.MODERATE if self.index < LARGE else Shift.LARGE

    def describe(self) -> str:
        """Return the shift in a word or two."""
        if self.shift is Shift.UNKNOWN:
            return "unknown" if self.index is None else "too few images to tell"
        return "stable" if self.shift is Shift.STABLE else f"{self.shift} shift"


@dataclasses.dataclass(frozen=True)
class DriftComparison:
    """A run's images compared with a reference: its name, each measure's drift, and what to do about them."""

    reference: str
    drifts: tuple[Drift, ...]
    summary: str

    @classmethod
    def of(cls, current: Distributions, reference: Distributions, *, name: str) -> Self:
        """Compare a run's distributions with a reference's, whose name is given."""
        drifts = measure_drift(current, reference)
        return cls(name, drifts, _summarize(drifts, current, reference, name=name))

    @property
    def shift(self) -> Shift:
        """The most severe shift."""
        return most_severe(self.drifts)

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield each measure's name, its index, and what that means."""
        for drift in self.drifts:
            index = NONE if drift.index is None else f"{drift.index:.3f}"
            yield MEASURE_NAMES[drift.measure], index, drift.describe()


def measure_drift(current: Distributions, reference: Distributions) -> tuple[Drift, ...]:
    """Return the drift of each measure."""
    return tuple(_drift(measure, current, reference) for measure in _UPPER_BOUNDS)


def _drift(measure: str, current: Distributions, reference: Distributions) -> Drift:
    mine, others = getattr(current, measure), getattr(reference, measure)
    sizes = (current.images, reference.images)
    if not sum(mine) or not sum(others) or not all(sizes):
        return Drift(measure, None, math.inf)
    bins = sum(1 for pair in zip(mine, others, strict=True) if any(pair))
    index = population_stability_index(mine, others, sizes=sizes)
    return Drift(measure, index, _chance_level(bins - 1, sizes))


def population_stability_index(
    current: Sequence[float], reference: Sequence[float], *, sizes: tuple[float, float] = (math.inf, math.inf)
) -> float:
    """Return the population stability index of two histograms with the same bins, at least 0.

    Args:
        current: counts or shares, not all zero.
        reference: counts or shares, not all zero.
        sizes: number of images of each. An empty bin counts as half an image: with the least share,
            chance alone would look like a large shift when images are few.
    """
    least = [max(_MIN_SHARE, 0.5 / size) for size in sizes]
    pairs = (
        (max(p / sum(current), least[0]), max(q / sum(reference), least[1]))
        for p, q in zip(current, reference, strict=True)
    )
    return math.fsum((p - q) * math.log(p / q) for p, q in pairs)


def _chance_level(freedom: int, sizes: tuple[int, int]) -> float:
    # Wilson and Hilferty's approximation of chi-squared's 95 % quantile: within 1 %, and without SciPy.
    if freedom < 1:
        return 0.0
    variance = 2 / (9 * freedom)
    z_95 = 1.6448536269514722
    quantile = freedom * (1 - variance + z_95 * math.sqrt(variance)) ** 3
    return quantile * sum(1 / size for size in sizes)


def most_severe(drifts: Sequence[Drift]) -> Shift:
    """Return the most severe shift of those that are known."""
    shifts = {drift.shift for drift in drifts}
    return next(
        (shift for shift in (Shift.LARGE, Shift.MODERATE, Shift.STABLE) if shift in shifts), Shift.UNKNOWN
    )


def _summarize(
    drifts: Sequence[Drift], current: Distributions, reference: Distributions, *, name: str
) -> str:
    shift = most_severe(drifts)
    if shift is Shift.UNKNOWN:
        return f"There are too few images to tell whether they are like those of {name}."
    known = [drift for drift in drifts if drift.index is not None]
    if shift is Shift.STABLE:
        largest = max(known, key=lambda drift: drift.index or 0.0)
        return (
            f"These images are like those of {name}: no index reaches {MODERATE}, "
            f"the largest is {fraction(largest.index, 2)} ({MEASURE_NAMES[largest.measure]})."
        )
    shifted = [drift for drift in known if drift.shift in (Shift.MODERATE, Shift.LARGE)]
    names = " and ".join(f"{MEASURE_NAMES[drift.measure]} ({fraction(drift.index, 2)})" for drift in shifted)
    bar = f"above {LARGE}" if shift is Shift.LARGE else f"between {MODERATE} and {LARGE}"
    changed = f" {_most_changed_digit(current, reference)}" if shifted[0].measure == "digits" else ""
    return f"These images differ from those of {name} in {names}, {bar}.{changed} {_ADVICE[shift]}"


_ADVICE: Final = {
    Shift.MODERATE: "Look at the galleries below; if it stays so, label a sample and measure again.",
    Shift.LARGE: "The accuracy on the model's card no longer speaks for them: look at the galleries, "
    "check where the images come from, and label a sample before you trust the answers.",
}


def _most_changed_digit(current: Distributions, reference: Distributions) -> str:
    shares = [
        (mine / sum(current.digits), other / sum(reference.digits))
        for mine, other in zip(current.digits, reference.digits, strict=True)
    ]
    digit = max(range(len(shares)), key=lambda number: abs(shares[number][0] - shares[number][1]))
    mine, other = shares[digit]
    return f"The digit {digit} makes {share(mine, 1)} of them, and {share(other, 1)} there."
