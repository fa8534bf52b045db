"""Turns file contents into decisions: decodes, predicts and decides, without reading or writing files."""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import numpy as np

from digitmill.engines.bundle_loader import Bundle
from digitmill.engines.engine import Engine
from digitmill.imaging.batch import decode_batch
from digitmill.imaging.page_reading import Content, Page
from digitmill.storage.listed_image import ListedImage
from pipelines.listing.work_item import make_failure
from pipelines.scoring.page_members import OwnedContent
from pipelines.scoring.predictions import predict
from pipelines.scoring.report_samples import ReportSamples
from pipelines.scoring.scored_batch import ScoredBatch
from schemas.digit import CLASSES
from schemas.failure import Failure, FailureCode, ImageError
from schemas.prediction import NO_LABEL, NO_NUMBER

_CHUNK_IMAGES: Final = 512
"""Images to decode at once: enough for full batches, and little memory."""

_CHUNK_BYTES: Final = 64 * 2**20
"""Bytes of files to decode at once, unless a single file is larger."""

T = TypeVar("T")
C = TypeVar("C", bound=Content)


class Classifier:
    """Scores contents with a model and, optionally, a challenger that sees the same pixels. Thread-safe."""

    def __init__(self, engine: Engine, *, accept_threshold: float, challenger: Engine | None = None) -> None:
        self._engine = engine
        self._accept_threshold = np.float32(accept_threshold)
        self._challenger = challenger

    def classify(self, contents: Iterable[OwnedContent]) -> ScoredBatch:
        """Decode and score contents in the order given; every image ends up scored or failed.

        Raises:
            EngineError: when a model cannot score any image.
        """
        images: list[ListedImage] = []
        failures: list[Failure] = []
        probabilities = [np.zeros((0, CLASSES), np.float32)]
        challenger_probabilities = list(probabilities)
        samples = ReportSamples()
        for chunk in split_chunks(contents):
            batch = decode_batch((content for _, content in chunk), len(chunk))
            digits, predicted = self._predict(batch.digits, batch.errors)
            challenged = self._predict_challenger(digits)
            outcomes = [(image, error) for (image, _), error in zip(chunk, batch.errors, strict=True)]
            scored = [image for image, error in outcomes if error is None]
            failures += [make_failure(image, error) for image, error in outcomes if error is not None]
            samples.add_failures(chunk, batch.errors)
            samples.add(
                scored,
                digits,
                start=len(images),
                probabilities=predicted,
                challenger_probabilities=challenged,
            )
            images += scored
            probabilities.append(predicted)
            challenger_probabilities.append(challenged)
        all_probabilities = np.concatenate(probabilities)
        first, second, confidence, second_confidence = _top_two(all_probabilities)
        all_challenged = np.concatenate(challenger_probabilities)
        missing = np.isnan(all_challenged[:, 0])
        challenger, _, challenger_confidence, _ = _top_two(all_challenged)
        return ScoredBatch(
            images=tuple(images),
            first=first,
            second=second,
            confidence=confidence,
            second_confidence=second_confidence,
            accepted=confidence >= self._accept_threshold,
            challenger=np.where(missing, NO_LABEL, challenger),
            challenger_confidence=np.where(missing, np.float32(NO_NUMBER), challenger_confidence),
            failures=tuple(failures),
            samples=samples,
            all_probabilities=np.clip(all_probabilities, 0, 1),
        )

    def _predict(self, digits: np.ndarray, errors: list[ImageError | None]) -> tuple[np.ndarray, np.ndarray]:
        """Return the scored digits and their probabilities; write the errors of the others to `errors`."""
        slots = np.flatnonzero([error is None for error in errors])
        predictions = predict(self._engine, digits[slots])
        for row, detail in predictions.errors.items():
            errors[slots[row]] = ImageError(FailureCode.ENGINE, detail)
        scored = np.delete(np.arange(len(slots)), list(predictions.errors))
        return digits[slots[scored]], predictions.probabilities[scored]

    def _predict_challenger(self, digits: np.ndarray) -> np.ndarray:
        """Return the challenger's probabilities, float32[N, 10]; NaN where it has no prediction."""
        if self._challenger is None:
            return np.full((len(digits), CLASSES), np.nan, np.float32)
        predictions = predict(self._challenger, digits)
        predictions.probabilities[list(predictions.errors)] = np.nan
        return predictions.probabilities


def split_chunks(
    contents: Iterable[tuple[T, C]], *, most_bytes: int = _CHUNK_BYTES
) -> Iterator[list[tuple[T, C]]]:
    """Yield pairs of owner and content in lists of bounded length and total bytes."""
    chunk: list[tuple[T, C]] = []
    size = 0
    for owner, content in contents:
        chunk.append((owner, content))
        if isinstance(content, bytes):
            size += len(content)
        elif isinstance(content, Page):
            # Pages share the bytes of their file.
            size += 0 if content.number else len(content.data)
        if len(chunk) == _CHUNK_IMAGES or size >= most_bytes:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _top_two(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the two most probable classes of each row and their probabilities, within [0, 1]."""
    rows = np.arange(len(probabilities))
    first = probabilities.argmax(axis=1)
    confidence = probabilities[rows, first]
    rest = probabilities.copy()
    rest[rows, first] = -1
    second = rest.argmax(axis=1)
    # A softmax in float32 can give 1 + 1e-7.
    return first, second, np.clip(confidence, 0, 1), np.clip(rest[rows, second], 0, 1)


def load_classifier(bundle: Bundle, *, accept_threshold: float, challenger: Bundle | None) -> Classifier:
    """Load the models of one or two bundles.

    Raises:
        UserError: when a bundle has changed since it was opened.
        EngineError: when this machine cannot run a model.
    """
    return Classifier(
        bundle.load(),
        accept_threshold=accept_threshold,
        challenger=None if challenger is None else challenger.load(),
    )
