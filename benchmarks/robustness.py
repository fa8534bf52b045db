"""Measures a bundle on digits of many kinds and on pictures that are no digit, as scoring sees them.

Usage: python -m benchmarks.robustness [--model BUNDLE] [--sets FOLDER] [--part validation] [--publish]

FOLDER is what `python -m benchmarks.digit_sets` wrote. Digits of fonts, in cells of forms and in windows of
meters, and what is no digit, are drawn from the fonts of this machine that training holds out.
--part test looks at the test parts, of the sets that have one: do it once, at the end. --publish puts the
tables into docs/model.md.
"""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from benchmarks import page, robustness_page
from benchmarks.form_pictures import cell, meter_window, plain
from benchmarks.process import ROOT
from benchmarks.workspace import SHARED, mnist_available
from digitmill.default_model import SHIPPED_MODEL
from digitmill.engines.bundle_loader import open_bundle
from digitmill.engines.engine import Engine
from digitmill.imaging.batch import DigitBatch, canonical_batch, decode_batch
from schemas.digit import CLASSES, NOT_A_DIGIT
from schemas.labels import CLASS_NUMBERS, UNREADABLE
from trainer.data.drawing.font_families import find_designs
from trainer.data.drawing.not_digits import KINDS, LOOKALIKES, Material, draw_not_digit
from trainer.data.sources import embedded_sample
from trainer.data.sources.drawn import FontsSource
from trainer.data.sources.folder import CREDIT_FILE
from trainer.data.sources.idx import IdxSource
from trainer.recipes.parts.recipe import HOLD_OUT

RESULTS: Final = page.KEPT / robustness_page.FILE

_DRAWN: Final = 2_000
"""Pictures of each kind that is drawn."""

_SEED: Final = 20_261_130


@dataclasses.dataclass(frozen=True)
class Row:
    """What a model predicts of one set of pictures of digits.

    Attributes:
        name: of the set.
        images: how many there are, those in which preprocessing finds no digit included.
        right: of those, images whose digit is predicted; one that has failed is not right.
        failed: images in which preprocessing finds no digit.
        accepted: images that the threshold accepts.
        accepted_right: of those, images whose digit is predicted.
    """

    name: str
    images: int
    right: int
    failed: int
    accepted: int
    accepted_right: int


@dataclasses.dataclass(frozen=True)
class Unfamiliar:
    """What a model predicts of one kind of pictures that are no digit.

    Attributes:
        name: of the kind.
        images: how many there are.
        failed: images in which preprocessing finds no digit, which is right.
        accepted: images that the threshold accepts, wrongly.
    """

    name: str
    images: int
    failed: int
    accepted: int


def measure(
    engine: Engine, name: str, batch: DigitBatch, labels: np.ndarray, *, threshold: float
) -> Row | Unfamiliar:
    """Return what a model predicts of a set.

    Args:
        engine: the model.
        name: of the set.
        batch: its pictures after preprocessing.
        labels: uint8[N], in 0 to 9; or all `NOT_A_DIGIT`.
        threshold: the accept threshold.
    """
    seen = np.array([error is None for error in batch.errors])
    probabilities = engine.probabilities(batch.digits[seen])
    accepted = probabilities.max(axis=1) >= threshold
    failed = int((~seen).sum())
    if (labels == NOT_A_DIGIT).all():
        return Unfamiliar(name, len(labels), failed, int(accepted.sum()))
    right = probabilities.argmax(axis=1) == labels[seen]
    return Row(
        name, len(labels), int(right.sum()), failed, int(accepted.sum()), int((accepted & right).sum())
    )


def folder_sets(folder: pathlib.Path, part: str) -> Iterator[tuple[str, DigitBatch, np.ndarray]]:
    """Yield name, pictures and labels of a folder's sets; of each, the unreadable are a set of their own."""
    for path in sorted(folder.glob(f"*/{part}")):
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != CREDIT_FILE)
        labels = np.array([CLASS_NUMBERS[file.parent.name] for file in files], np.uint8)
        batch = decode_batch((file.read_bytes() for file in files), len(files))
        unreadable = labels == NOT_A_DIGIT
        for name, chosen in (
            (path.parent.name, ~unreadable),
            (f"{path.parent.name}, {UNREADABLE}", unreadable),
        ):
            if chosen.any():
                errors = [batch.errors[number] for number in np.flatnonzero(chosen)]
                yield name, DigitBatch(batch.digits[chosen], errors), labels[chosen]


def mnist(part: str) -> Iterator[tuple[str, DigitBatch, np.ndarray]]:
    """Yield MNIST's split, where its files lie beside the checkout."""
    if mnist_available():
        split = IdxSource(str(SHARED)).read(validation_fraction=HOLD_OUT).splits()[part]
        yield "MNIST", DigitBatch(split.images, [None] * len(split)), split.labels


def drawn_sets(part: str) -> Iterator[tuple[str, DigitBatch, np.ndarray]]:
    """Yield pictures drawn from the families of fonts of one part."""
    designs = find_designs([])[part]
    material = Material(designs, embedded_sample.digits().splits()[part].images)
    for name, draw in _DRAWS.items():
        rng = np.random.default_rng(_SEED)
        drawn = [draw(number, material, rng) for number in range(_DRAWN)]
        yield (
            name,
            canonical_batch([picture for _, picture in drawn]),
            np.array([n for n, _ in drawn], np.uint8),
        )
    for kind in (*KINDS, LOOKALIKES):
        rng = np.random.default_rng(_SEED)
        pictures = [draw_not_digit(kind, material, rng) for _ in range(_DRAWN)]
        yield kind, canonical_batch(pictures), np.full(_DRAWN, NOT_A_DIGIT, np.uint8)


def _in_font(
    finish: Callable[[str, int, np.random.Generator], np.ndarray],
) -> Callable[[int, Material, np.random.Generator], tuple[int, np.ndarray]]:
    """Return what draws a label and a picture of it in some font; all ten are equally frequent."""

    def draw(number: int, material: Material, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        label = number % CLASSES
        return label, finish(material.font(rng).path, label, rng)

    return draw


_DRAWS: Final = {
    "plain fonts": _in_font(plain),
    "fonts": FontsSource.draw,
    "printed in cells": _in_font(cell),
    "windows of meters": _in_font(meter_window),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, and publish them if asked to."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--model", default=str(SHIPPED_MODEL), help="a bundle; default: shipped")
    parser.add_argument("--sets", type=pathlib.Path, default=ROOT / "build" / "digit-sets")
    parser.add_argument("--part", choices=("validation", "test"), default="validation")
    parser.add_argument("--publish", action="store_true", help="put the tables into docs/model.md")
    options = parser.parse_args(arguments)
    bundle = open_bundle(options.model)
    sets = [*mnist(options.part), *folder_sets(options.sets, options.part), *drawn_sets(options.part)]
    engine, threshold = bundle.load(), bundle.card.accept_threshold
    rows = [dataclasses.asdict(measure(engine, *each, threshold=threshold)) for each in sets]
    found: dict[str, Any] = {"part": options.part, "threshold": threshold, "rows": rows}
    for table in robustness_page.tables(found):
        print(table.to_text(), end="\n\n")
    if options.publish:
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(kept | {options.part: found}, indent=1) + "\n")
        page.write()


if __name__ == "__main__":
    main()
