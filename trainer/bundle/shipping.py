"""`python -m trainer.bundle.shipping BUNDLE TARGET`: shrinks a bundle to ship it with the package.

Drops the optimizer, two thirds of `model.keras`, and the SavedModel if the bundle is still too large. The
card keeps the measurements of the remaining formats.
"""

import dataclasses
import pathlib
import shlex
import shutil
import sys
import tempfile
from typing import Final

import keras

from digitmill.engines.bundle_loader import open_bundle
from schemas.errors import UserError
from schemas.model import bundle
from schemas.model.model_card import ModelCard
from trainer.bundle.export import digests, size_of

MAX_BYTES: Final = 2_000_000
"""Limit for the whole bundle, including its card."""


def ship(source: pathlib.Path, target: pathlib.Path) -> ModelCard:
    """Write a shrunk copy of a valid bundle and check it; raise UserError if it is still too large."""
    card = open_bundle(source).card
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
    command = _without_local_folders(card.command)
    small = dataclasses.replace(card, exports=exports, files=digests(folder), command=command)
    (folder / bundle.CARD).write_text(small.to_json(), encoding="utf-8")
    return small


def _without_local_folders(command: str) -> str:
    """Return a command with only the last two parts of absolute paths."""
    return shlex.join(
        "/".join(pathlib.PurePath(word).parts[-2:]) if word.startswith("/") else word
        for word in shlex.split(command)
    )


def main() -> None:
    """Shrink the bundle named by the arguments."""
    source, target = map(pathlib.Path, sys.argv[1:])
    try:
        card = ship(source, target)
    except UserError as error:
        sys.exit(f"digitmill: {error}")
    print(f"{target}: {card.recipe}, {size_of(target):,} bytes, {card.test_accuracy}")


if __name__ == "__main__":
    main()
