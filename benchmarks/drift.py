"""Simulates how often runs report a shift: without any cause, and because of images from another source.

Usage: python -m benchmarks.drift [--model BUNDLE] [--runs 1000] [--publish]

Runs are drawn from the histograms on the model's card, each measure independently. So is the training set,
because its images are a random sample too. For other sources, pictures are drawn and scored by the model.
--publish writes the tables into docs/drift.md.
"""

import argparse
import dataclasses
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Self

import cv2
import numpy as np

from benchmarks import drift_page, page
from benchmarks.form_pictures import cell, meter_window, seven_segments
from digitmill.default_model import SHIPPED_MODEL
from digitmill.engines.bundle_loader import open_bundle
from digitmill.engines.engine import Engine
from digitmill.imaging.batch import canonical_batch
from digitmill.ink_statistics import InkCounter
from pipelines.report.drift import (
    FALSE_ALARMS,
    SLIGHT,
    Distributions,
    DriftComparison,
    HeldCounts,
    known_measures,
)
from pipelines.scoring.report_samples import gray_levels
from schemas.digit import CLASSES
from schemas.model.ink_counts import UPPER_BOUNDS, InkCounts
from schemas.model.model_card import HISTOGRAM_BINS
from trainer.data.drawing.font_families import find_designs
from trainer.data.drawing.not_digits import Material
from trainer.data.sources import embedded_sample

SIZES: Final = (10, 30, 100, 300, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
SHARES: Final = (0.05, 0.1, 0.25, 1.0)
IMAGES: Final = 2_000
"""Images of a run of which some are of another source."""

_NEAR: Final = 0.1
"""Share of what chance does by which an index may differ from it and still be near."""

_DRAWN: Final = 2_000
_SEED: Final = 20_261_130
_SAMPLE: Final = "the embedded sample, as it is"

Histograms = Mapping[str, np.ndarray]


def histograms(found: Distributions) -> Histograms:
    """Return the shares of each known measure."""
    measures = ("digits", "confidences", "gray_levels", *UPPER_BOUNDS)
    counts = {measure: np.array(found.counts(measure), np.float64) for measure in measures}
    return {measure: row / row.sum() for measure, row in counts.items() if row.any()}


def draw(shares: Histograms, images: int, rng: np.random.Generator) -> Distributions:
    """Return the distributions of a random sample of images, given the shares of each measure."""
    return _of_rows(images, {measure: rng.multinomial(images, row) for measure, row in shares.items()})


def expected(shares: Histograms, images: int) -> Distributions:
    """Return the expected distributions of this many images."""
    return _of_rows(images, {measure: _whole(row * images) for measure, row in shares.items()})


def _whole(counts: np.ndarray) -> np.ndarray:
    """Return whole numbers next to counts, with their sum."""
    return np.diff(np.rint(np.cumsum(counts)).astype(np.int64), prepend=0)


def _of_rows(images: int, counts: Histograms) -> Distributions:
    rows = {measure: tuple(row.tolist()) for measure, row in counts.items()}
    ink = InkCounts(**{measure: row for measure, row in rows.items() if measure in UPPER_BOUNDS})
    return Distributions(images, rows["digits"], rows["confidences"], rows["gray_levels"], ink)


def describe(digits: np.ndarray, engine: Engine) -> Distributions:
    """Return the distributions that a run over canonical digits, uint8[N, 28, 28], would have."""
    probabilities = engine.probabilities(digits)
    ink = InkCounter()
    ink.add(digits)
    bins = np.minimum((probabilities.max(axis=1) * HISTOGRAM_BINS).astype(np.int64), HISTOGRAM_BINS - 1)
    return Distributions(
        len(digits),
        tuple(np.bincount(probabilities.argmax(axis=1), minlength=CLASSES).tolist()),
        tuple(np.bincount(bins, minlength=HISTOGRAM_BINS).tolist()),
        tuple(gray_levels(digits).tolist()),
        ink.counts(),
    )


def sources(images: int = _DRAWN) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and canonical digits of each source: the embedded sample, and digits of other kinds."""
    sample = np.concatenate([split.images for split in embedded_sample.digits().splits().values()])
    yield _SAMPLE, sample
    part = "validation"  # fonts that training holds out
    material = Material(find_designs([])[part], embedded_sample.digits().splits()[part].images)
    drawers: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
        "the same, out of focus": lambda number, _: _blurred(sample[number]),
        "windows of meters": lambda number, rng: meter_window(material.font(rng).path, number % CLASSES, rng),
        "printed in cells": lambda number, rng: cell(material.font(rng).path, number % CLASSES, rng),
        "seven-segment displays": lambda number, rng: seven_segments(number % CLASSES, rng),
    }
    for name, drawer in drawers.items():
        rng = np.random.default_rng(_SEED)
        batch = canonical_batch([drawer(number, rng) for number in range(images)])
        yield name, batch.digits[[error is None for error in batch.errors]]


def _blurred(digit: np.ndarray) -> np.ndarray:
    return 255 - cv2.resize(cv2.GaussianBlur(digit, (0, 0), 2), None, fx=2, fy=2)


@dataclasses.dataclass(frozen=True)
class Figures:
    """Computes the drift figures of runs as in reports, without drawing 1,999 pairs for each run.

    The chance level depends on the pooled images of run and reference, which hardly differ between simulated
    runs, so it is simulated once. If an index is close to it, it is simulated again for that run.

    Attributes:
        chance: by measure.
    """

    chance: Mapping[str, float]

    @classmethod
    def of(cls, expected: Distributions, reference: Distributions) -> Self:
        """Simulate the chance level for runs that are on average like the expected one."""
        known = known_measures(expected, reference)
        level = FALSE_ALARMS / len(known)
        return cls({name: HeldCounts.of(name, expected, reference).chance(level) for name in known})

    def figure(self, current: Distributions, reference: Distributions) -> float:
        """Return the figure of a run; 0 without a shift."""
        excess = 0.0
        for name, chance in self.chance.items():
            index = HeldCounts.of(name, current, reference).index()
            if abs(index - chance) < max(_NEAR * chance, 2 * SLIGHT):
                return DriftComparison.of(current, reference, name="it").figure or 0.0
            excess = max(excess, index - chance)
        return excess if excess >= SLIGHT else 0.0


def false_alarms(card: Distributions, *, runs: int) -> Iterator[dict[str, Any]]:
    """Yield how many runs of each size report a shift although they have the source of the training set."""
    shares = histograms(card)
    for images in SIZES:
        rng = np.random.default_rng(_SEED + images)
        figures = Figures.of(expected(shares, images), expected(shares, card.images))
        found = [
            figures.figure(draw(shares, images, rng), draw(shares, card.images, rng)) for _ in range(runs)
        ]
        yield {"images": images, "runs": runs, "shifts": sum(map(bool, found))}


def power(card: Distributions, name: str, other: Distributions, *, share: float, runs: int) -> dict[str, Any]:
    """Return how many runs report a shift if a share of their images comes from another source."""
    usual, unusual = histograms(card), histograms(other)
    mixed = {measure: (1 - share) * row + share * unusual[measure] for measure, row in usual.items()}
    rng = np.random.default_rng(_SEED)
    figures = Figures.of(expected(mixed, IMAGES), card)
    found = [figures.figure(draw(mixed, IMAGES, rng), card) for _ in range(runs)]
    return {
        "source": name,
        "share": share,
        "runs": runs,
        "shifts": sum(map(bool, found)),
        "figure": statistics.median(found),
    }


def measure(model: str, *, runs: int) -> dict[str, Any]:
    """Return the data of the tables."""
    bundle = open_bundle(model)
    card, engine = Distributions.from_card(bundle.card), bundle.load()
    rows, whole = [], []
    for name, digits in sources():
        other = describe(digits, engine)
        compared = DriftComparison.of(other, card, name="it")
        whole.append(
            {
                "source": name,
                "images": other.images,
                "figure": compared.figure,
                "measures": {drift.measure: drift.index for drift in compared.drifts},
            }
        )
        for share in SHARES if name != _SAMPLE else ():
            rows.append(power(card, name, other, share=share, runs=runs // 5 if share == 1 else runs))
    return {
        "recipe": bundle.card.recipe,
        "training_images": card.images,
        "alone": whole,
        "power": rows,
        "false_alarms": list(false_alarms(card, runs=runs)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, print the tables, and publish them if asked to."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--model", default=str(SHIPPED_MODEL), help="a bundle; default: shipped")
    parser.add_argument("--runs", type=int, default=1_000, help="simulated runs for each figure")
    parser.add_argument("--publish", action="store_true", help="put the tables into docs/drift.md")
    options = parser.parse_args(arguments)
    found = measure(options.model, runs=options.runs)
    for table in drift_page.tables(found):
        print(table.to_text(), end="\n\n")
    if options.publish:
        (page.KEPT / drift_page.FILE).write_text(json.dumps(found, indent=1) + "\n")
        page.write()


if __name__ == "__main__":
    main()
