"""Opens a model bundle: checks digests, signature and golden batch before any image is read."""

import dataclasses
import hashlib
import io
import pathlib
from typing import NoReturn

import numpy as np

from digitmill.engines.bundle_files import read_local_file
from digitmill.engines.engine import Engine, EngineError, LiteRtEngine
from digitmill.engines.engine_choice import EngineChoice, EngineKind, choose
from digitmill.engines.saved_model import SavedModelEngine
from schemas.digit import CLASSES, SIDE
from schemas.errors import UserError
from schemas.model import bundle
from schemas.model.model_card import ModelCard


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle that was checked; small, so that it can be sent to every worker.

    Attributes:
        digest: SHA-256 of the card's bytes; the card holds the digest of every other file.
    """

    path: pathlib.Path
    card: ModelCard
    digest: str
    engine: EngineChoice

    def load(self) -> Engine:
        """Load its model, from bytes whose digests are compared again.

        Raises:
            UserError: when a file was changed or removed since.
            EngineError: when this machine cannot run it.
        """
        if self.engine.kind is not EngineKind.SAVED_MODEL:
            return LiteRtEngine(_read_verified(self.path, self.engine.model, self.card))
        # Only files that the card names.
        folder = f"{bundle.SAVED_MODEL}/"
        names = [name for name in self.card.files if name.startswith(folder)]
        return SavedModelEngine(
            {name.removeprefix(folder): _read_verified(self.path, name, self.card) for name in names}
        )


def open_bundle(path: pathlib.Path, engine: str = EngineKind.AUTO) -> Bundle:
    """Open a bundle after checking its card, digests, signature, shapes and golden batch.

    Raises:
        UserError: when the bundle is missing, incomplete or damaged, predicts its golden batch wrongly, or
            the engine is not available.
    """
    try:
        text = read_local_file(path, bundle.CARD)
    except OSError as error:
        raise UserError(
            f"not a model bundle, there is no {bundle.CARD}",
            value=str(path),
            hint=f"give the bundle folder that `digitmill train` wrote: {error.strerror}",
        ) from error
    try:
        card = ModelCard.from_json(text.decode())
    except ValueError as error:
        _refuse(path, f"its {bundle.CARD} cannot be read: {error}")
    golden = _verified_golden_batch(path, card)
    opened = Bundle(path.absolute(), card, hashlib.sha256(text).hexdigest(), choose(engine, card))
    _check_golden_batch(opened, golden)
    return opened


def _verified_golden_batch(path: pathlib.Path, card: ModelCard) -> bytes:
    """Return the bytes of the golden batch, after comparing every file's digest."""
    if bundle.GOLDEN_BATCH not in card.files:
        _refuse(path, f"its card names no {bundle.GOLDEN_BATCH}")
    for name in card.files:
        _read_verified(path, name, card)
    return _read_verified(path, bundle.GOLDEN_BATCH, card)


def _read_verified(path: pathlib.Path, name: str, card: ModelCard) -> bytes:
    try:
        data = read_local_file(path, name)
    except OSError as error:
        _refuse(path, f"{name}: {error.strerror}")
    if hashlib.sha256(data).hexdigest() != card.files[name]:
        _refuse(path, f"{name} is not the file that the card names")
    return data


def _check_golden_batch(opened: Bundle, content: bytes) -> None:
    path = opened.path
    # The int8 model must predict as the int8 model did, not as the float model it was made from.
    int8 = opened.engine.kind is EngineKind.LITERT_INT8
    output = bundle.OUTPUT_INT8 if int8 else bundle.OUTPUT
    tolerance = bundle.GOLDEN_TOLERANCE_INT8 if int8 else bundle.GOLDEN_TOLERANCE
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as golden:
            digits, expected = golden[bundle.INPUT], golden[output]
    except (OSError, ValueError, KeyError) as error:
        _refuse(path, f"its golden batch cannot be read: {error}")
    shapes = (digits.shape[1:], digits.dtype, expected.shape)
    if shapes != ((SIDE, SIDE), np.uint8, (len(digits), CLASSES)) or not len(digits):
        _refuse(path, f"its golden batch has the wrong shape: {digits.shape} and {expected.shape}")
    try:
        predicted = opened.load().probabilities(digits)
    except EngineError as error:
        _refuse(path, str(error))
    difference = float(np.abs(predicted - expected).max())
    # Not `difference > tolerance`, which lets NaN pass.
    if not difference <= tolerance:
        _refuse(path, f"it predicts its golden batch wrongly, by up to {difference:.3g}")


def _refuse(path: pathlib.Path, why: str) -> NoReturn:
    raise UserError(
        "damaged model bundle",
        value=str(path),
        hint=f"copy it again or train it anew: {why}",
    )
