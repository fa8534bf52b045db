"""Whether the images of a run are like others: population stability indices, and what they mean.

An index is the sum over bins of (p - q) ln(p / q), for shares p here and q there. Practice calls less
than 0.1 stable and more than 0.25 a large shift; see B. Yurdakul, "Statistical Properties of Population
Stability Index", Western Michigan University 2018, which also gives its spread: of alike images it is
(1/n + 1/m) times a chi-squared variable with a degree of freedom less than there are bins.
"""

import csv
import dataclasses
import enum
import io
import math
from collections.abc import Iterator, Sequence
from typing import Final, Self

from schemas.digit import CLASSES
from schemas.model.model_card import HISTOGRAM_BINS, ModelCard

MODERATE, LARGE = 0.1, 0.25

_FLOOR: Final = 1e-4
"""Least share of a bin: an empty one would make the index infinite."""

HEADER: Final = ("measure", "low", "high", "count")
"""Columns of `distributions.csv`."""


class Shift(enum.StrEnum):
    """What an index means."""

    STABLE = "stable"
    MODERATE = "moderate"
    LARGE = "large"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class Spread:
    """How some images are spread.

    Attributes:
        images: how many they are.
        digits: by class, predicted or, of a training set, true; counts or shares.
        confidences: by bin of equal width over [0, 1].
        grey_levels: pixels by bin of equal width over [0, 255]; all zero where they are not known.
    """

    images: int
    digits: tuple[float, ...]
    confidences: tuple[float, ...]
    grey_levels: tuple[float, ...]

    @classmethod
    def of_training(cls, card: ModelCard) -> Self:
        """Returns that of the images that a model was trained on."""
        return cls(sum(card.class_counts), card.class_counts, card.confidence_histogram, card.pixel_histogram)

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Yields the rows of `distributions.csv`."""
        for measure, highest in _MEASURES.items():
            counts = getattr(self, measure)
            for number, count in enumerate(counts):
                low, high = (highest * edge / len(counts) for edge in (number, number + 1))
                yield measure, f"{low:g}", f"{high:g}", f"{count:g}" if count % 1 else int(count)

    @classmethod
    def from_csv(cls, data: bytes) -> Self:
        """Reads `distributions.csv`.

        Raises:
            ValueError: when it is none.
        """
        found: dict[str, list[float]] = {measure: [] for measure in _MEASURES}
        rows = csv.reader(io.StringIO(data.decode(), newline=""))
        if tuple(next(rows, ())) != HEADER:
            raise ValueError(f"distributions have the columns {', '.join(HEADER)}")
        for measure, *_, count in rows:
            if measure not in found:
                raise ValueError(f"a measure is one of {', '.join(found)}; got {measure!r}")
            found[measure].append(int(count))
        spread = cls(int(sum(found["digits"])), *(tuple(found[measure]) for measure in _MEASURES))
        sizes = (len(spread.digits), len(spread.confidences), len(spread.grey_levels))
        if sizes != (CLASSES, HISTOGRAM_BINS, HISTOGRAM_BINS):
            raise ValueError(f"distributions have {CLASSES} classes and {HISTOGRAM_BINS} bins; got {sizes}")
        return spread


_MEASURES: Final = {"digits": CLASSES, "confidences": 1, "grey_levels": 255}
"""Fields of `Spread`, and where their last bin ends."""


@dataclasses.dataclass(frozen=True)
class Drift:
    """One measure's shift.

    Attributes:
        measure: field of `Spread`.
        index: the population stability index; None where a side is not known.
        noise: what the index of alike images stays below nineteen times in twenty.
    """

    measure: str
    index: float | None
    noise: float

    @property
    def shift(self) -> Shift:
        """What the index means; of so few images that chance alone could look like a shift, nothing."""
        if self.index is None:
            return Shift.UNKNOWN
        if self.index < MODERATE:
            return Shift.STABLE
        if self.noise >= MODERATE and self.index < self.noise:
            return Shift.UNKNOWN
        return Shift.MODERATE if self.index < LARGE else Shift.LARGE


def compare(here: Spread, there: Spread) -> tuple[Drift, ...]:
    """Returns the shift of each measure."""
    return tuple(
        _drift(measure, getattr(here, measure), getattr(there, measure), sizes=(here.images, there.images))
        for measure in _MEASURES
    )


def _drift(measure: str, here: Sequence[float], there: Sequence[float], *, sizes: tuple[int, int]) -> Drift:
    if not sum(here) or not sum(there) or not all(sizes):
        return Drift(measure, None, math.inf)
    bins = sum(1 for pair in zip(here, there, strict=True) if any(pair))
    return Drift(measure, stability_index(here, there, sizes=sizes), _noise(bins - 1, sizes))


def stability_index(
    here: Sequence[float], there: Sequence[float], *, sizes: tuple[float, float] = (math.inf, math.inf)
) -> float:
    """Returns the population stability index of two histograms with the same bins, at least 0.

    Args:
        here: counts or shares, not all zero.
        there: counts or shares, not all zero.
        sizes: how many images each is of. An empty bin of few images is taken for half an image: with
            the least share of all, chance alone would look like a large shift.
    """
    least = [max(_FLOOR, 0.5 / size) for size in sizes]
    pairs = (
        (max(p / sum(here), least[0]), max(q / sum(there), least[1]))
        for p, q in zip(here, there, strict=True)
    )
    return math.fsum((p - q) * math.log(p / q) for p, q in pairs)


def _noise(freedom: int, sizes: tuple[int, int]) -> float:
    # Wilson and Hilferty's approximation of chi-squared's quantile: within 1 % of it, and without SciPy.
    if freedom < 1:
        return 0.0
    spread = 2 / (9 * freedom)
    one_sided = 1.6448536269514722
    quantile = freedom * (1 - spread + one_sided * math.sqrt(spread)) ** 3
    return quantile * sum(1 / size for size in sizes)


def worst(drifts: Sequence[Drift]) -> Shift:
    """Returns the gravest shift of all that are known."""
    for shift in (Shift.LARGE, Shift.MODERATE, Shift.STABLE):
        if any(drift.shift is shift for drift in drifts):
            return shift
    return Shift.UNKNOWN
