"""Opens a model bundle: checks digests, signature and golden batch before any image is read."""

import dataclasses
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from typing import NoReturn, Self

import numpy as np

from digitmill.engines.bundle_files import absolute_place, read_card, read_file
from digitmill.engines.engine import Engine, EngineError, LiteRtEngine, TemperedEngine
from digitmill.engines.engine_choice import EngineChoice, EngineKind, choose
from digitmill.engines.openvino_engine import OpenVinoEngine
from digitmill.engines.saved_model import SavedModelEngine
from digitmill.storage.names import place_as_given
from schemas.digit import CLASSES, SIDE
from schemas.errors import UserError
from schemas.model import bundle
from schemas.model.model_card import ModelCard


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A checked bundle; small enough to send to every worker, unless files are `carried`.

    Attributes:
        place: the bundle's folder, as an absolute path or a URI.
        digest: SHA-256 of the card's bytes; the card has the digest of every other file.
        carried: content of files to send along, by name.
    """

    place: str
    card: ModelCard
    digest: str
    engine: EngineChoice
    carried: Mapping[str, bytes] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def engine_files(self) -> Sequence[str]:
        """The files that the bundle's engine reads, all of them named by the card."""
        if self.engine.kind is not EngineKind.SAVED_MODEL:
            return [self.engine.model]
        return [name for name in self.card.files if name.startswith(f"{bundle.SAVED_MODEL}/")]

    def read(self, name: str) -> bytes:
        """Return a file named by the card, after checking its digest.

        Raises:
            UserError: when the file was changed or removed.
        """
        found = self.carried.get(name)
        return _read_verified(self.place, name, self.card) if found is None else found

    def carry(self) -> Self:
        """Return the bundle with the content of its engine's files, so that it loads without its folder."""
        return dataclasses.replace(self, carried={name: self.read(name) for name in self.engine_files})

    def load(self) -> Engine:
        """Load the bundle's model, checking the digests of its files again.

        Raises:
            UserError: when a file was changed or removed since.
            EngineError: when this machine cannot run the model.
        """
        engine, temperature = self.load_model(), self.card.scoring_temperature
        return engine if temperature == 1 else TemperedEngine(engine, temperature)

    def load_model(self) -> Engine:
        """Load the model of the files, without the temperature of `digitmill calibrate`; see `load`."""
        files = {name: self.read(name) for name in self.engine_files}
        if self.engine.library == "openvino":
            return OpenVinoEngine(files[self.engine.model])
        if self.engine.kind is not EngineKind.SAVED_MODEL:
            return LiteRtEngine(files[self.engine.model])
        folder = f"{bundle.SAVED_MODEL}/"
        return SavedModelEngine({name.removeprefix(folder): data for name, data in files.items()})


def open_bundle(given: str | os.PathLike[str], engine: str = EngineKind.AUTO) -> Bundle:
    """Open a bundle after checking its card, digests, signature, shapes and golden batch.

    Args:
        given: the bundle's folder, on disk or in a bucket.
        engine: one of `EngineKind`.

    Raises:
        UserError: when the bundle is missing, incomplete or damaged, predicts its golden batch wrongly, or
            the engine is not available.
    """
    place = place_as_given(given)
    text = read_card(place)
    try:
        card = ModelCard.from_json(text.decode())
    except ValueError as error:
        _refuse(place, f"its {bundle.CARD} cannot be read: {error}")
    golden = _verified_golden_batch(place, card)
    opened = Bundle(absolute_place(place), card, hashlib.sha256(text).hexdigest(), choose(engine, card))
    _check_golden_batch(opened, golden)
    return opened


def loaded(opened: Bundle) -> tuple[Engine, np.ndarray]:
    """Return the engine of a bundle and its golden batch's digits, uint8[N, 28, 28].

    Raises:
        UserError: when the engine cannot run the model, or predicts the golden batch wrongly.
    """
    return _check_golden_batch(opened, _read_verified(opened.place, bundle.GOLDEN_BATCH, opened.card))


def _verified_golden_batch(place: str, card: ModelCard) -> bytes:
    """Return the bytes of the golden batch, after comparing every file's digest."""
    if bundle.GOLDEN_BATCH not in card.files:
        _refuse(place, f"its card names no {bundle.GOLDEN_BATCH}")
    for name in (name for name in card.files if name != bundle.GOLDEN_BATCH):
        _read_verified(place, name, card)
    return _read_verified(place, bundle.GOLDEN_BATCH, card)


def _read_verified(place: str, name: str, card: ModelCard) -> bytes:
    try:
        data = read_file(place, name)
    except OSError as error:
        _refuse(place, f"{name}: {error.strerror}")
    if hashlib.sha256(data).hexdigest() != card.files[name]:
        _refuse(place, f"{name} is not the file that the card names")
    return data


def _check_golden_batch(opened: Bundle, content: bytes) -> tuple[Engine, np.ndarray]:
    place = opened.place
    # The int8 model must predict as the int8 model did, not as the float model it was made from.
    int8 = opened.engine.model == bundle.LITERT_INT8_MODEL
    output = bundle.OUTPUT_INT8 if int8 else bundle.OUTPUT
    tolerance = bundle.GOLDEN_TOLERANCE_INT8 if int8 else bundle.GOLDEN_TOLERANCE
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as golden:
            digits, expected = golden[bundle.INPUT], golden[output]
    except (OSError, ValueError, KeyError) as error:
        _refuse(place, f"its golden batch cannot be read: {error}")
    shapes = (digits.shape[1:], digits.dtype, expected.shape)
    if shapes != ((SIDE, SIDE), np.uint8, (len(digits), CLASSES)) or not len(digits):
        _refuse(place, f"its golden batch has the wrong shape: {digits.shape} and {expected.shape}")
    try:
        engine = opened.load_model()
        predicted = engine.probabilities(digits)
    except EngineError as error:
        _refuse(place, str(error))
    difference = float(np.abs(predicted - expected).max())
    # Not `difference > tolerance`, which lets NaN pass.
    if not difference <= tolerance:
        _refuse(place, f"it predicts its golden batch wrongly, by up to {difference:.3g}")
    return engine, digits


def _refuse(place: str, why: str) -> NoReturn:
    raise UserError(
        "damaged model bundle",
        value=place,
        hint=f"copy it again or train it again: {why}",
    )
