"""Opens a model bundle for scoring; one that is not whole and true is refused before any image is read."""

import dataclasses
import hashlib
import io
import pathlib
from typing import NoReturn

import numpy as np

from pipelines.engine import EngineError, LiteRtEngine
from schemas import bundle
from schemas.digit import CLASSES, SIDE
from schemas.errors import UserError
from schemas.model_card import ModelCard


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle that was checked; small, so that it may travel to every worker.

    Attributes:
        path: its folder, absolute.
        card: its card.
        digest: SHA-256 of the card's bytes; the card holds the digest of every other file.
    """

    path: pathlib.Path
    card: ModelCard
    digest: str

    def read_model(self) -> bytes:
        """Returns the bytes of the LiteRT model, the ones that were checked.

        Raises:
            UserError: when they have been changed or removed since.
        """
        return _read_verified(self.path, bundle.LITERT_MODEL, self.card)


def open_bundle(path: pathlib.Path) -> Bundle:
    """Checks card, digests, signature, shapes and golden batch, and returns the bundle.

    Raises:
        UserError: when the bundle is missing, incomplete, damaged or answers wrongly.
    """
    try:
        text = (path / bundle.CARD).read_bytes()
    except OSError as error:
        raise UserError(
            f"a model bundle is a folder with a {bundle.CARD}",
            got=str(path),
            remedy=f"give the bundle folder that `digitmill train` wrote: {error.strerror}",
        ) from error
    try:
        card = ModelCard.from_json(text.decode())
    except ValueError as error:
        _refuse(path, f"its {bundle.CARD} cannot be read: {error}")
    _check_golden_batch(path, _verified_files(path, card))
    return Bundle(path.absolute(), card, hashlib.sha256(text).hexdigest())


def _verified_files(path: pathlib.Path, card: ModelCard) -> dict[str, bytes]:
    """Returns the bytes of the files that scoring needs, after comparing every file's digest."""
    needed = (bundle.LITERT_MODEL, bundle.GOLDEN_BATCH)
    for name in needed:
        if name not in card.files:
            _refuse(path, f"its card names no {name}")
    contents = {name: _read_verified(path, name, card) for name in card.files}
    return {name: contents[name] for name in needed}


def _read_verified(path: pathlib.Path, name: str, card: ModelCard) -> bytes:
    try:
        data = (path / name).read_bytes()
    except OSError as error:
        _refuse(path, f"{name}: {error.strerror}")
    if hashlib.sha256(data).hexdigest() != card.files[name]:
        _refuse(path, f"{name} is not the file that the card names")
    return data


def _check_golden_batch(path: pathlib.Path, contents: dict[str, bytes]) -> None:
    try:
        with np.load(io.BytesIO(contents[bundle.GOLDEN_BATCH]), allow_pickle=False) as golden:
            digits, expected = golden[bundle.INPUT], golden[bundle.OUTPUT]
    except (OSError, ValueError, KeyError) as error:
        _refuse(path, f"its golden batch cannot be read: {error}")
    shapes = (digits.shape[1:], digits.dtype, expected.shape)
    if shapes != ((SIDE, SIDE), np.uint8, (len(digits), CLASSES)) or not len(digits):
        _refuse(path, f"its golden batch has the wrong shape: {digits.shape} and {expected.shape}")
    try:
        answered = LiteRtEngine(contents[bundle.LITERT_MODEL]).probabilities(digits)
    except EngineError as error:
        _refuse(path, str(error))
    difference = float(np.abs(answered - expected).max())
    # Written so that a NaN is refused too.
    if not difference <= bundle.GOLDEN_TOLERANCE:
        _refuse(path, f"it answers its golden batch wrongly, by up to {difference:.3g}")


def _refuse(path: pathlib.Path, why: str) -> NoReturn:
    raise UserError(
        "a model bundle is whole and answers as it did when it was made",
        got=str(path),
        remedy=f"copy it again or train it anew: {why}",
    )
