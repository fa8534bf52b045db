"""`digitmill.load` and `digitmill.canonicalize`: a model and its preprocessing, for single pictures."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from digitmill.api.html_tables import html_card
from digitmill.default_model import SHIPPED_MODEL
from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine_choice import EngineKind
from digitmill.imaging.batch import decode_batch
from digitmill.imaging.held_pictures import digit_of, is_pillow
from digitmill.imaging.page_reading import Content, Page
from digitmill.storage import ImageReader
from digitmill.storage.names import place_as_given, uri_in
from pipelines.scoring.classify import split_chunks
from pipelines.scoring.predictions import predict
from schemas.digit import CLASSES
from schemas.errors import UserError
from schemas.failure import FailureCode, ImageError
from schemas.model.model_card import ModelCard
from schemas.prediction import NO_LABEL, Decision

if TYPE_CHECKING:
    import PIL.Image

    Image = str | os.PathLike[str] | bytes | np.ndarray | PIL.Image.Image

_BLOCK: Final = 512
"""Number of images to look up together."""


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predictions for N images, in the order given.

    Attributes:
        digits: int64[N], the most probable digit; -1 for an error.
        confidences: float32[N], the digit's calibrated probability; NaN for an error.
        probabilities: float32[N, 10], the probabilities of all digits.
        decisions: `accept` if the confidence reaches the model's accept threshold, otherwise `review`; None
            for an error.
        errors: why an image has no prediction, with `code` and `detail`; None if it has one.
    """

    digits: np.ndarray
    confidences: np.ndarray
    probabilities: np.ndarray
    decisions: list[Decision | None]
    errors: list[ImageError | None]

    def __len__(self) -> int:
        return len(self.digits)


class Model:
    """A loaded model bundle. Thread-safe.

    Attributes:
        card: the model's provenance, training and metrics.
        accept_threshold: minimum confidence of an accepted prediction.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Load the model of an opened bundle."""
        self.card: ModelCard = bundle.card
        self.accept_threshold: float = bundle.card.accept_threshold
        self._place = bundle.place
        self._engine = bundle.load()

    def predict(self, images: "Iterable[Image]") -> Predictions:
        """Predict the digits of pictures, like `digitmill.score`. A picture that cannot be read fails alone.

        Args:
            images: any mix of paths (`str` or `pathlib.Path`), URIs, file contents as bytes, arrays and PIL
                images. An array is uint8 or uint16, [height, width] or [height, width, 3 or 4] with the
                channels red, green, blue, opacity. Only the first page of a file is used.

        Raises:
            UserError: for a single picture instead of a list.
            StorageError: when a bucket cannot be reached.
            EngineError: when the model cannot score any of many images.
        """
        _refuse_single(images)
        probabilities: list[np.ndarray] = [np.zeros((0, CLASSES), np.float32)]
        errors: list[ImageError | None] = []
        with ImageReader() as reader:
            for chunk in split_chunks((None, content) for content in _contents(images, reader)):
                batch = decode_batch((content for _, content in chunk), len(chunk))
                slots = np.flatnonzero([error is None for error in batch.errors])
                found = predict(self._engine, batch.digits[slots])
                for row, detail in found.errors.items():
                    batch.errors[slots[row]] = ImageError(FailureCode.ENGINE, detail)
                rows = np.full((len(chunk), CLASSES), np.nan, np.float32)
                rows[slots] = found.probabilities
                rows[[error is not None for error in batch.errors]] = np.nan
                probabilities.append(rows)
                errors += batch.errors
        return self._decide(np.concatenate(probabilities), errors)

    def _decide(self, probabilities: np.ndarray, errors: list[ImageError | None]) -> Predictions:
        failed = np.array([error is not None for error in errors], bool)
        digits = np.where(failed, NO_LABEL, probabilities.argmax(axis=1))
        # A softmax in float32 can give 1 + 1e-7.
        confidences = np.clip(probabilities.max(axis=1), 0, 1)
        accepted = confidences >= np.float32(self.accept_threshold)
        decisions = [
            None if none else Decision.ACCEPT if sure else Decision.REVIEW
            for none, sure in zip(failed, accepted, strict=True)
        ]
        return Predictions(digits, confidences, probabilities, decisions, errors)

    def __repr__(self) -> str:
        return f"<digitmill.Model {self._place!r}: {self.card.recipe}, {self.card.test_accuracy}>"

    def _repr_html_(self) -> str:
        return html_card(self.card)


def load(bundle: str | os.PathLike[str] | None = None, *, engine: str = EngineKind.AUTO) -> Model:
    """Load a model bundle.

    Args:
        bundle: the bundle's folder, local or in a bucket; None for the model that comes with digitmill.
        engine: `auto`, or another value of `digitmill score --engine`.

    Raises:
        UserError: when the bundle is missing or damaged, or the engine is not available.
    """
    if engine not in set(EngineKind):
        raise UserError("unknown engine", value=engine, hint=f"give one of {', '.join(EngineKind)}")
    return Model(open_bundle(SHIPPED_MODEL if bundle is None else bundle, engine))


def canonicalize(image: "Image") -> np.ndarray:
    """Return the canonical digit that a model sees: uint8[28, 28], 0 is paper, 255 is ink.

    Args:
        image: a picture in any form that `Model.predict` accepts.

    Raises:
        ImageError: when the picture contains no digit or cannot be read.
        StorageError: when a bucket cannot be reached.
    """
    with ImageReader() as reader:
        batch = decode_batch(_contents([image], reader), 1)
    if batch.errors[0] is not None:
        raise batch.errors[0]
    return batch.digits[0]


def _refuse_single(images: object) -> None:
    lone = isinstance(images, str | bytes | os.PathLike) or is_pillow(images)
    if lone or (isinstance(images, np.ndarray) and images.ndim < 3):
        raise UserError(
            "predict needs a list of images", value=type(images).__name__, hint="write predict([image])"
        )


def _contents(images: "Iterable[Image]", reader: ImageReader) -> Iterator[Content]:
    """Yield the content of each image, or the error that occurred when reading it."""
    items = iter(images)
    while block := list(itertools.islice(items, _BLOCK)):
        places = [_place_of(item) for item in block]
        files = reader.read(list(reader.find([place for place in places if isinstance(place, str)])))
        for item, place in zip(block, places, strict=True):
            if isinstance(place, ImageError):
                yield place
            else:
                yield _held(item) if place is None else next(files)


def _place_of(item: object) -> str | ImageError | None:
    """Return the URI of an image given by name, or the error in its name; None for images in memory."""
    if not isinstance(item, str | os.PathLike):
        return None
    try:
        return uri_in(place_as_given(item), pathlib.Path.cwd() / "names")
    except UserError as error:
        return ImageError(FailureCode.UNREADABLE, f"{error.error}: {error.value!r}")


def _held(item: object) -> Content:
    """Return the content of an image in memory."""
    if isinstance(item, bytes):
        return item
    if not (isinstance(item, np.ndarray) or is_pillow(item)):
        detail = f"{type(item).__name__}: give a path, bytes, an array or a PIL image"
        return ImageError(FailureCode.UNSUPPORTED, detail)
    try:
        return Page(b"", 0, digit_of(item))
    except ImageError as error:
        return error
