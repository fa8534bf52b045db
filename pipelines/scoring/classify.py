"""From file contents to decisions: decodes, predicts and decides, without reading or writing files."""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import numpy as np

from digitmill.engines.bundle_loader import Bundle
from digitmill.engines.engine import Engine
from digitmill.imaging.batch import decode_batch
from digitmill.storage.listed_image import ListedImage
from pipelines.listing.work_item import make_failure
from pipelines.scoring.predictions import predict
from pipelines.scoring.report_samples import ReportSamples
from pipelines.scoring.scored_batch import ScoredBatch
from schemas.digit import CLASSES
from schemas.failure import Failure, FailureCode, ImageError
from schemas.prediction import NO_LABEL, NO_NUMBER

_CHUNK_IMAGES: Final = 512
"""Images that are decoded at once: enough for full batches, little memory."""

_CHUNK_BYTES: Final = 64 * 2**20
"""Bytes of files that are decoded at once, unless a single file is larger."""

Content = tuple[ListedImage, bytes | ImageError]
"""An image and its file's bytes, or why it could not be read."""

T = TypeVar("T")


class Classifier:
    """Scores contents with a model and, optionally, a challenger that sees the same pixels. Thread-safe."""

    def __init__(self, engine: Engine, *, accept_threshold: float, challenger: Engine | None = None) -> None:
        self._engine = engine
        self._accept_threshold = np.float32(accept_threshold)
        self._challenger = challenger

    def classify(self, contents: Iterable[Content]) -> ScoredBatch:
        """Decodes and scores contents; every image ends up scored or failed, in the order given.

        Raises:
            EngineError: when a model cannot score any image.
        """
        results = _Results()
        for chunk in split_chunks(contents):
            batch = decode_batch((content for _, content in chunk), len(chunk))
            digits, probabilities = self._predict(batch.digits, batch.errors)
            results.add(
                chunk,
                batch.errors,
                digits=digits,
                probabilities=probabilities,
                challenger_probabilities=self._predict_challenger(digits),
            )
        return results.decide(self._accept_threshold)

    def _predict(self, digits: np.ndarray, errors: list[ImageError | None]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the scored digits and their probabilities; adds the others to `errors`."""
        slots = np.flatnonzero([error is None for error in errors])
        predictions = predict(self._engine, digits[slots])
        for row, detail in predictions.errors.items():
            errors[slots[row]] = ImageError(FailureCode.ENGINE, detail)
        scored = np.setdiff1d(np.arange(len(slots)), list(predictions.errors))
        return digits[slots[scored]], predictions.probabilities[scored]

    def _predict_challenger(self, digits: np.ndarray) -> np.ndarray:
        """Returns float32[N, 10]; NaN where there is no prediction."""
        if self._challenger is None:
            return np.full((len(digits), CLASSES), np.nan, np.float32)
        predictions = predict(self._challenger, digits)
        predictions.probabilities[list(predictions.errors)] = np.nan
        return predictions.probabilities


class _Results:
    """Results of all chunks of one call, in order; of pixels only the samples for the report."""

    def __init__(self) -> None:
        empty = np.zeros((0, CLASSES), np.float32)
        self._images: list[ListedImage] = []
        self._failures: list[Failure] = []
        self._probabilities = [empty]
        self._challenger_probabilities = [empty]
        self._samples = ReportSamples()

    def add(
        self,
        chunk: list[Content],
        errors: list[ImageError | None],
        *,
        digits: np.ndarray,
        probabilities: np.ndarray,
        challenger_probabilities: np.ndarray,
    ) -> None:
        """Adds a chunk's contents and errors, and the digits and probabilities of those without an error."""
        start = len(self._images)
        self._probabilities.append(probabilities)
        self._challenger_probabilities.append(challenger_probabilities)
        for (image, _), error in zip(chunk, errors, strict=True):
            if error is None:
                self._images.append(image)
            else:
                self._failures.append(make_failure(image, error))
        self._samples.add_failures(chunk, errors)
        self._samples.add(
            self._images[start:],
            digits,
            start=start,
            probabilities=probabilities,
            challenger_probabilities=challenger_probabilities,
        )

    def decide(self, accept_threshold: np.float32) -> ScoredBatch:
        """Returns the rows, accepted from a confidence on."""
        first, second, confidence, second_confidence = _top_two(np.concatenate(self._probabilities))
        challenger_probabilities = np.concatenate(self._challenger_probabilities)
        missing = np.isnan(challenger_probabilities[:, 0])
        challenger, _, challenger_confidence, _ = _top_two(challenger_probabilities)
        return ScoredBatch(
            images=tuple(self._images),
            first=first,
            second=second,
            confidence=confidence,
            second_confidence=second_confidence,
            accepted=confidence >= accept_threshold,
            challenger=np.where(missing, NO_LABEL, challenger),
            challenger_confidence=np.where(missing, np.float32(NO_NUMBER), challenger_confidence),
            failures=tuple(self._failures),
            samples=self._samples,
        )


def split_chunks(
    contents: Iterable[tuple[T, bytes | ImageError]],
) -> Iterator[list[tuple[T, bytes | ImageError]]]:
    """Yields contents, each with its owner, in lists of bounded length and size in bytes."""
    chunk: list[tuple[T, bytes | ImageError]] = []
    size = 0
    for owner, content in contents:
        chunk.append((owner, content))
        size += len(content) if isinstance(content, bytes) else 0
        if len(chunk) == _CHUNK_IMAGES or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _top_two(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns the two most probable classes of each row and their probabilities, within [0, 1]."""
    rows = np.arange(len(probabilities))
    first = probabilities.argmax(axis=1)
    confidence = probabilities[rows, first]
    rest = probabilities.copy()
    rest[rows, first] = -1
    second = rest.argmax(axis=1)
    # A softmax in float32 can give 1 + 1e-7.
    return first, second, np.clip(confidence, 0, 1), np.clip(rest[rows, second], 0, 1)


def load_classifier(bundle: Bundle, *, accept_threshold: float, challenger: Bundle | None) -> Classifier:
    """Loads the models of one or two bundles.

    Raises:
        UserError: when a bundle has changed since it was opened.
        EngineError: when this machine cannot run a model.
    """
    return Classifier(
        bundle.load(),
        accept_threshold=accept_threshold,
        challenger=None if challenger is None else challenger.load(),
    )
