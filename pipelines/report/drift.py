"""Data drift of a run against a reference: population stability indices, and sentences that explain them.

The reported index is the part that exceeds chance: with ten images nearly any difference may be chance, with
ten million none is. A shift must then be large enough to matter. By convention, an index below 0.1 is stable,
and one of 0.25 or more is a large shift.
"""

import csv
import dataclasses
import enum
import io
import math
from collections.abc import Iterator, Sequence
from typing import Final, Self

from digitmill.reports.numbers import NONE, fraction, share
from pipelines.report.stability_index import (
    Shares,
    add_groups,
    chance_bound,
    group_evenly,
    population_stability_index,
)
from schemas.digit import CLASSES
from schemas.model.ink_counts import INK_BINS, UPPER_BOUNDS, InkCounts
from schemas.model.model_card import CONFIDENCE_SAMPLE, HISTOGRAM_BINS, ModelCard

SLIGHT, MODERATE, LARGE = 0.001, 0.1, 0.25

FALSE_ALARMS: Final = 0.01
"""Probability of reporting any shift for images without drift, over all measures together."""

DISTRIBUTIONS_HEADER: Final = ("measure", "low", "high", "count")
"""Columns of `distributions.csv`."""

MEASURE_NAMES: Final = {
    "digits": "predicted digits",
    "confidences": "confidence",
    "gray_levels": "ink",
    "ink_shares": "amount of ink",
    "stroke_widths": "stroke width",
    "horizontal_edges": "horizontal edges",
    "vertical_edges": "vertical edges",
}
"""Measures of `Distributions`, and their names in the report."""

_BINS: Final = {
    "digits": (CLASSES, CLASSES),
    "confidences": (1, HISTOGRAM_BINS),
    "gray_levels": (255, HISTOGRAM_BINS),
    **{measure: (upper, INK_BINS) for measure, upper in UPPER_BOUNDS.items()},
}
"""Measures of `Distributions`, with the upper end of the last bin and the number of bins."""

_INK_GROUPS: Final = 5
"""Number of groups of bins for the index of an ink measure; each has about the same reference share."""

_CONFIDENCE_GROUPS: Final = (*(0,) * 10, *(1,) * 6, *(2,) * 3, 3)
"""Group of each bin for the index of confidences; the groups end at 0.5, 0.8, 0.95 and 1.

A good model leaves all bins but the last nearly empty; ungrouped, chance in each bin would hide a shift."""


class Shift(enum.StrEnum):
    """Interpretation of an index."""

    STABLE = "stable"
    SLIGHT = "slight"
    MODERATE = "moderate"
    LARGE = "large"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class Distributions:
    """Histograms of a set of images.

    Attributes:
        images: number of images.
        digits: counts or shares by predicted class, or by true class for a training set.
        confidences: images in equal-width bins over [0, 1].
        gray_levels: pixels in equal-width bins over [0, 255]; all zero if unknown.
        ink: histograms of ink statistics; all zero if unknown.
    """

    images: int
    digits: tuple[float, ...]
    confidences: tuple[float, ...]
    gray_levels: tuple[float, ...]
    ink: InkCounts = InkCounts()  # noqa: RUF009 - frozen

    def counts(self, measure: str) -> tuple[float, ...]:
        """Return the histogram of a measure."""
        return getattr(self.ink if measure in UPPER_BOUNDS else self, measure)

    def images_of(self, measure: str) -> int:
        """Return the number of images behind the histogram of a measure."""
        return round(sum(self.digits if measure == "gray_levels" else self.counts(measure)))

    @classmethod
    def from_card(cls, card: ModelCard) -> Self:
        """Return the distributions of a model's training set, or of the images it was calibrated on."""
        known = card.recalibration or card
        images = sum(known.class_counts)
        # Training counts the confidences of a sample, calibration those of all its images.
        sampled = images if card.recalibration else min(images, CONFIDENCE_SAMPLE)
        return cls(
            images,
            known.class_counts,
            tuple(sampled * found for found in known.confidence_histogram),
            known.pixel_histogram,
            known.ink or InkCounts(),
        )

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Yield the rows of `distributions.csv`."""
        for measure, (highest, _) in _BINS.items():
            counts = self.counts(measure)
            for number, count in enumerate(counts):
                low, high = (highest * edge / len(counts) for edge in (number, number + 1))
                yield measure, f"{low:g}", f"{high:g}", f"{count:g}" if count % 1 else int(count)

    @classmethod
    def from_csv(cls, data: bytes) -> Self:
        """Parse `distributions.csv`; older files have no ink measures.

        Raises:
            ValueError: when the columns, a measure or the number of bins is wrong.
        """
        found: dict[str, tuple[int, ...]] = dict.fromkeys(_BINS, ())
        rows = csv.reader(io.StringIO(data.decode(), newline=""))
        if tuple(next(rows, ())) != DISTRIBUTIONS_HEADER:
            raise ValueError(f"distributions without the columns {', '.join(DISTRIBUTIONS_HEADER)}")
        for measure, *_, count in rows:
            if measure not in found:
                raise ValueError(f"unknown measure {measure!r}, none of {', '.join(found)}")
            found[measure] += (int(count),)
        if not any(map(found.get, UPPER_BOUNDS)):
            found |= vars(InkCounts())
        for measure, (_, bins) in _BINS.items():
            if len(found[measure]) != bins:
                raise ValueError(f"distributions of {len(found[measure])} {measure}, not {bins}")
        ink = InkCounts(**{measure: found.pop(measure) for measure in UPPER_BOUNDS})
        return cls(sum(found["digits"]), ink=ink, **found)


@dataclasses.dataclass(frozen=True)
class Drift:
    """Drift of one measure.

    Attributes:
        measure: field of `Distributions`.
        index: population stability index minus the chance level, at least 0; None if one side is unknown.
        chance_level: the index that runs without drift very rarely exceed.
    """

    measure: str
    index: float | None
    chance_level: float

    @property
    def shift(self) -> Shift:
        """Interpretation of the index; unknown if even a moderate shift could be chance."""
        if self.index is None:
            return Shift.UNKNOWN
        if self.index < SLIGHT:
            return Shift.UNKNOWN if self.chance_level >= MODERATE else Shift.STABLE
        if self.index < MODERATE:
            return Shift.SLIGHT
        return Shift.MODERATE if self.index < LARGE else Shift.LARGE

    def describe(self) -> str:
        """Return the shift in a word or two."""
        if self.shift is Shift.UNKNOWN:
            return "unknown" if self.index is None else "too few images to tell"
        return "stable" if self.shift is Shift.STABLE else f"{self.shift} shift"


@dataclasses.dataclass(frozen=True)
class DriftComparison:
    """Comparison of a run's images with a reference: its name, the drift of each measure, and advice."""

    reference: str
    drifts: tuple[Drift, ...]
    summary: str

    @classmethod
    def of(cls, current: Distributions, reference: Distributions, *, name: str) -> Self:
        """Compare a run's distributions with those of the reference called `name`."""
        drifts = measure_drift(current, reference)
        return cls(name, drifts, _summarize(drifts, current, reference, name=name))

    @property
    def shift(self) -> Shift:
        """The most severe shift."""
        return most_severe(self.drifts)

    @property
    def figure(self) -> float | None:
        """The largest index of a shift; 0 without a shift, None if nothing could be compared."""
        known = [drift for drift in self.drifts if drift.index is not None]
        shifted = [drift.index or 0.0 for drift in known if drift.shift in _SHIFTS]
        return round(max(shifted, default=0.0), 6) if known else None

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield each measure's name, index and interpretation; unknown ink measures share one row."""
        unknown = {drift.measure for drift in self.drifts if drift.index is None}.intersection(UPPER_BOUNDS)
        for drift in self.drifts:
            if drift.measure in unknown:
                continue
            index = NONE if drift.index is None else f"{drift.index:.3f}"
            yield MEASURE_NAMES[drift.measure], index, drift.describe()
        if unknown:
            yield "shape of the ink", NONE, "unknown: one side does not state it"


def measure_drift(current: Distributions, reference: Distributions) -> tuple[Drift, ...]:
    """Return the drift of each measure; the probability of a false alarm is at most `FALSE_ALARMS`."""
    known = known_measures(current, reference)
    return tuple(
        _drift(HeldCounts.of(measure, current, reference), level=FALSE_ALARMS / len(known))
        if measure in known
        else Drift(measure, None, math.inf)
        for measure in _BINS
    )


def known_measures(current: Distributions, reference: Distributions) -> list[str]:
    """Return the measures that are known on both sides."""
    return [
        measure
        for measure in _BINS
        if all(side.images and any(side.counts(measure)) for side in (current, reference))
    ]


@dataclasses.dataclass(frozen=True)
class HeldCounts:
    """Counts of one measure on both sides, by group of bins.

    Attributes:
        sizes: numbers of images of both sides.
    """

    measure: str
    current: Shares
    reference: Shares
    sizes: tuple[int, int]

    @classmethod
    def of(cls, measure: str, current: Distributions, reference: Distributions) -> Self:
        """Group the counts of a measure that is known on both sides."""
        # For gray levels too, the sample size is the number of images: pixels of an image are correlated.
        mine, others = current.counts(measure), reference.counts(measure)
        if measure in UPPER_BOUNDS or measure == "confidences":
            ink = measure != "confidences"
            groups = group_evenly(others, _INK_GROUPS) if ink else _CONFIDENCE_GROUPS
            mine, others = add_groups(mine, groups), add_groups(others, groups)
        return cls(measure, mine, others, (current.images_of(measure), reference.images_of(measure)))

    def index(self) -> float:
        """Return the population stability index, including the effect of chance."""
        return population_stability_index(self.current, self.reference, sizes=self.sizes)

    def chance(self, level: float) -> float:
        """Return the value that the index exceeds by chance with probability `level`."""
        return chance_bound(self.current, self.reference, sizes=self.sizes, level=level)


def _drift(held: HeldCounts, *, level: float) -> Drift:
    chance = held.chance(level)
    return Drift(held.measure, max(0.0, held.index() - chance), chance)


_SHIFTS: Final = (Shift.LARGE, Shift.MODERATE, Shift.SLIGHT)
"""Shifts to report, most severe first."""


def most_severe(drifts: Sequence[Drift]) -> Shift:
    """Return the most severe known shift; unknown if there is none."""
    shifts = {drift.shift for drift in drifts}
    return next((shift for shift in (*_SHIFTS, Shift.STABLE) if shift in shifts), Shift.UNKNOWN)


def _summarize(
    drifts: Sequence[Drift], current: Distributions, reference: Distributions, *, name: str
) -> str:
    shift = most_severe(drifts)
    known = [drift for drift in drifts if drift.index is not None]
    if shift is Shift.UNKNOWN:
        least = min((drift.chance_level for drift in known), default=None)
        chance = f": chance alone can make an index of {fraction(least, 2)}" if least is not None else ""
        return f"There are too few images to tell whether they are like those of {name}{chance}."
    if shift is Shift.STABLE:
        return f"These images are like those of {name}: what differs is chance, or too little to matter."
    shifted = sorted(
        (drift for drift in known if drift.shift is shift), key=lambda drift: drift.index or 0, reverse=True
    )[:_MOST_NAMED]
    *others, last = [f"{MEASURE_NAMES[drift.measure]} ({fraction(drift.index, 2)})" for drift in shifted]
    names = f"{', '.join(others)} and {last}" if others else last
    digits = "digits" in [drift.measure for drift in shifted]
    changed = f" {_most_changed_digit(current, reference)}" if digits else ""
    verb = "differ slightly" if shift is Shift.SLIGHT else "differ"
    return f"These images {verb} from those of {name} in {names}, {_RANGES[shift]}.{changed} {_ADVICE[shift]}"


_MOST_NAMED: Final = 3
"""Maximum number of measures in a summary: the largest indices of the most severe shift."""

_RANGES: Final = {
    Shift.SLIGHT: f"more than chance explains and below {MODERATE}",
    Shift.MODERATE: f"between {MODERATE} and {LARGE}",
    Shift.LARGE: f"above {LARGE}",
}

_ADVICE: Final = {
    Shift.SLIGHT: "There is nothing to do unless it grows.",
    Shift.MODERATE: "Look at the galleries below; if it stays so, label a sample and measure again.",
    Shift.LARGE: "The accuracy on the model's card does not apply to them: look at the galleries, "
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
