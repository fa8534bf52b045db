"""Simulates how often a promise about accepted answers is broken, and what it costs in coverage.

Usage: python -m benchmarks.promises [--draws 1000] [--publish]

Each draw takes labeled images from a population whose every answer is known, chooses a threshold on them,
and asks of the whole population how many accepted answers are wrong. Beside the guaranteed threshold stands
the one that looks right on the labels: the lowest at which they reach the target. --publish puts the table
into docs/how-to/guaranteed-decisions.md.
"""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import cv2
import numpy as np

from benchmarks.process import ROOT
from benchmarks.tables import Table
from digitmill.confidence.guarantee import GRID, Answers, Shortfall, guarantee, tuning_part
from digitmill.default_model import SHIPPED_MODEL
from digitmill.engines.bundle_loader import open_bundle
from schemas.model.accuracy import percent
from trainer.data.sources import embedded_sample

FILE: Final = "promises.json"
"""What was simulated, in docs/benchmarks."""

NAMES: Final = ("promises",)

_SETTINGS: Final = (
    ("calibrated", 500, 0.98),
    ("calibrated", 2_000, 0.99),
    ("calibrated", 10_000, 0.999),
    ("overconfident", 500, 0.98),
    ("overconfident", 2_000, 0.99),
    ("overconfident", 10_000, 0.999),
    ("sample askew", 500, 0.98),
    ("sample askew", 2_000, 0.99),
    ("sample askew", 10_000, 0.999),
)
"""Population, number of labeled images, target."""

_SEED: Final = 20_261_130
_DEGREES: Final = 30


@dataclasses.dataclass(frozen=True, eq=False)
class Population:
    """Answers that are all there is: confidences, and whether each is right."""

    confidence: np.ndarray
    right: np.ndarray

    def draw(self, images: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        rows = rng.integers(0, len(self.right), images)
        return self.confidence[rows], self.right[rows]


def populations() -> dict[str, Population]:
    """Return the populations by name."""
    rng = np.random.default_rng(_SEED)
    confidence = np.clip(1 - 10 ** -rng.uniform(0.05, 5, 500_000), 0.1, 1).astype(np.float32)
    doubt = 1 - confidence.astype(np.float64)
    return {
        "calibrated": Population(confidence, rng.random(len(doubt)) >= doubt),
        "overconfident": Population(confidence, rng.random(len(doubt)) >= np.minimum(0.9, 5 * doubt)),
        "sample askew": _askew(),
    }


def _askew() -> Population:
    """Return what the shipped model answers to the package's own digits, turned."""
    digits = embedded_sample.digits()
    splits = [digits.train, digits.validation, digits.test]
    turn = cv2.getRotationMatrix2D((14, 14), _DEGREES, 1)
    images = [cv2.warpAffine(image, turn, (28, 28)) for split in splits for image in split.images]
    probabilities = open_bundle(SHIPPED_MODEL).load().probabilities(np.stack(images))
    labels = np.concatenate([split.labels for split in splits])
    return Population(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)


def simulate(population: Population, images: int, target: float, draws: int) -> dict[str, Any]:
    """Return how often each of the two thresholds misses the target, and their coverages."""
    rng = np.random.default_rng(_SEED)
    whole = Answers.of(population.confidence, population.right)
    tuning = np.arange(images) < tuning_part(images)
    guaranteed, naive = [], []
    for _ in range(draws):
        confidence, right = population.draw(images, rng)
        found = guarantee(confidence, right, tuning=tuning, target=target)
        guaranteed.append(None if isinstance(found, Shortfall) else found.threshold)
        naive.append(_looks_right(Answers.of(confidence, right), target))
    best = max(
        (found for found in map(_on(whole), GRID.tolist()) if found[0] >= target), key=lambda it: it[1]
    )
    return {
        "images": images,
        "target": target,
        "draws": draws,
        "best": best[1],
        "none": sum(threshold is None for threshold in guaranteed),
        "guaranteed": _judged(whole, [each for each in guaranteed if each is not None], target, draws),
        "naive": _judged(whole, naive, target, draws),
    }


def _on(whole: Answers) -> Any:
    """Return the function from a threshold to accuracy among accepted, and coverage."""

    def measured(threshold: float) -> tuple[float, float]:
        accepted = int(whole.accepted(np.array([threshold]))[0])
        wrong = int(whole.wrong[accepted])
        return (1 - wrong / accepted if accepted else 1.0), accepted / len(whole.confidence)

    return measured


def _judged(whole: Answers, thresholds: list[float], target: float, draws: int) -> dict[str, float]:
    found = [_on(whole)(threshold) for threshold in thresholds]
    return {
        "broken": sum(accuracy < target for accuracy, _ in found) / draws,
        "coverage": float(np.mean([coverage for _, coverage in found])) if found else 0.0,
    }


def _looks_right(answers: Answers, target: float) -> float:
    counts = answers.accepted(GRID)
    reached = np.flatnonzero((counts > 0) & (answers.wrong[counts] <= (1 - target) * counts))
    return float(GRID[reached[-1]]) if len(reached) else 1.0


def blocks(path: pathlib.Path) -> dict[str, str]:
    """Return the measured part of the page, as far as it was measured."""
    return {"promises": table(json.loads(path.read_text())).to_markdown()} if path.exists() else {}


def table(rows: list[Mapping[str, Any]]) -> Table:
    header = (
        "answers",
        "labeled",
        "target",
        "broken (looks right)",
        "broken (guaranteed)",
        "no promise",
        "accepts",
        "could accept",
    )
    return Table("", header, list(map(_row, rows)))


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        f"{row['images']:,}",
        f"{100 * row['target']:g} %",
        percent(row["naive"]["broken"]),
        percent(row["guaranteed"]["broken"]),
        percent(row["none"] / row["draws"]),
        percent(row["guaranteed"]["coverage"]) if row["none"] < row["draws"] else "–",
        percent(row["best"]),
    )


def rows(draws: int) -> Iterator[dict[str, Any]]:
    """Yield what each setting gives."""
    drawn = populations()
    for name, images, target in _SETTINGS:
        yield {"name": name, **simulate(drawn[name], images, target, draws)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--publish", action="store_true")
    arguments = parser.parse_args()
    found = list(rows(arguments.draws))
    print(table(found).to_text())
    if arguments.publish:
        from benchmarks import page  # which quotes what this module writes

        (ROOT / "docs" / "benchmarks" / FILE).write_text(json.dumps(found, indent=1) + "\n")
        page.write()


if __name__ == "__main__":
    main()
