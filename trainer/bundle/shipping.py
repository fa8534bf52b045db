"""Shrinks a bundle to ship it with the package.

Usage: python -m trainer.bundle.shipping BUNDLE TARGET [--data VALUE]... [--cache-dir DIR]

Drops the optimizer, two thirds of `model.keras`, and the SavedModel if the bundle is still too large. The
card keeps the measurements of the remaining formats. A card of an older training says nothing about the ink
of its images, which scoring compares with: --data, as in that training, adds it. TARGET may be BUNDLE.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, Final

import keras

from digitmill.engines.bundle_loader import open_bundle
from schemas.errors import UserError
from schemas.model import bundle
from schemas.model.ink_counts import InkCounts
from schemas.model.model_card import ModelCard
from trainer.bundle.export import digests, size_of
from trainer.data.reading import ReadOptions
from trainer.data.sources.source_specs import open_sources
from trainer.metrics.measures import count_ink
from trainer.recipes.parts.recipe import HOLD_OUT

MAX_BYTES: Final = 3_000_000
"""Limit for the whole bundle, including its card."""

_ABSOLUTE: Final = re.compile(r"(^|[\s:=])/(?:[^\s/]+/)*([^\s/]+/[^\s/]+)")
"""An absolute path of at least two parts, by itself or behind a flag or the kind of a source."""


def ship(source: pathlib.Path, target: pathlib.Path, *, ink: InkCounts | None = None) -> ModelCard:
    """Write a shrunk copy of a valid bundle and check it; raise UserError if it is still too large.

    Args:
        source: the bundle.
        target: the copy; a bundle that is there is replaced.
        ink: ink statistics of its training images; None to keep those of the card.
    """
    card = open_bundle(source).card
    card = dataclasses.replace(card, ink=ink or card.ink)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        part = pathlib.Path(folder, target.name)
        shutil.copytree(source, part, ignore=shutil.ignore_patterns(bundle.CARD))
        model = keras.models.load_model(part / bundle.KERAS_MODEL, compile=False)
        model.save(part / bundle.KERAS_MODEL)
        small = _write_card(card, part)
        if size_of(part) > MAX_BYTES:
            shutil.rmtree(part / bundle.SAVED_MODEL)
            small = _write_card(card, part)
        if size_of(part) > MAX_BYTES:
            raise UserError(
                f"the bundle is larger than {MAX_BYTES:,} bytes",
                value=size_of(part),
                hint="train a smaller recipe",
            )
        open_bundle(part)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    return small


def _write_card(card: ModelCard, folder: pathlib.Path) -> ModelCard:
    """Write the card for the files in the folder."""
    (folder / bundle.CARD).unlink(missing_ok=True)
    exports = tuple(
        dataclasses.replace(row, bytes=size_of(folder / row.name))
        for row in card.exports
        if (folder / row.name).exists()
    )
    small = dataclasses.replace(card, exports=exports, files=digests(folder))
    shown = ModelCard.from_json(json.dumps(_without_local_folders(json.loads(small.to_json()))))
    (folder / bundle.CARD).write_text(shown.to_json(), encoding="utf-8")
    return shown


def _without_local_folders(value: Any) -> Any:
    """Return JSON data with only the last two parts of absolute paths, in its keys, too."""
    if isinstance(value, dict):
        return {_without_local_folders(name): _without_local_folders(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_local_folders(each) for each in value]
    return _ABSOLUTE.sub(r"\1\2", value) if isinstance(value, str) else value


def training_ink(card: ModelCard, data: Sequence[str], reading: ReadOptions) -> InkCounts:
    """Return the ink statistics of a card's training images, computed from the training data.

    Digits drawn by another version may differ slightly, which is reported but harmless.

    Raises:
        UserError: when the data is not the card's: its number of digits per class differs.
    """
    digits = open_sources(data, reading).read(validation_fraction=HOLD_OUT)
    if digits.train_counts() != card.class_counts:
        raise UserError(
            "--data is not the data that the model was trained on",
            value=" ".join(data),
            hint=f"name the same data and weights as its card: {card.data}",
        )
    if digits.digest != card.data_digest:
        print("--data has as many digits of each class as the card's, but not all the same", file=sys.stderr)
    return count_ink(digits.train)


def main(arguments: Sequence[str] | None = None) -> None:
    """Shrink the bundle named by the arguments."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("bundle", type=pathlib.Path)
    parser.add_argument("target", type=pathlib.Path)
    parser.add_argument("--data", action="append", default=[], help="as in the training; may be repeated")
    parser.add_argument("--cache-dir", help="decoded images of the training")
    given = parser.parse_args(arguments)
    try:
        card = open_bundle(given.bundle).card
        ink = None
        if given.data:
            ink = training_ink(card, given.data, ReadOptions(cache_dir=given.cache_dir))
        card = ship(given.bundle, given.target, ink=ink)
    except UserError as error:
        sys.exit(f"digitmill: {error}")
    print(f"{given.target}: {card.recipe}, {size_of(given.target):,} bytes, {card.test_accuracy}")
    if card.ink is None:
        print("Its card says nothing about the ink of its training images: add it by --data", file=sys.stderr)


if __name__ == "__main__":
    main()
