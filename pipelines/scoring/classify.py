"""From files' bytes to decisions: decode, ask the models, decide. Knows nothing of files and folders."""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import numpy as np

from digitmill.engines.bundle_loader import Bundle
from digitmill.engines.engine import Engine
from digitmill.imaging.batch import decode_batch
from digitmill.storage.listed_image import ListedImage
from pipelines.listing.work_item import failure_of
from pipelines.scoring.predictions import ask
from pipelines.scoring.report_samples import Shown
from pipelines.scoring.scored_batch import Scored
from schemas.digit import CLASSES
from schemas.failure import Failure, FailureCode, ImageError
from schemas.prediction import NO_LABEL, NO_NUMBER

_CHUNK_IMAGES: Final = 512
"""Images that are decoded before the model is asked: enough for full batches, little memory."""

_CHUNK_BYTES: Final = 64 * 2**20
"""Their files' bytes, unless a single one is larger."""

Content = tuple[ListedImage, bytes | ImageError]
"""An image and its file's bytes, or why they cannot be had."""

T = TypeVar("T")


class Classifier:
    """Scores contents with one model or, side by side, two; threads may share it.

    Args:
        engine: the model whose answers count.
        accept_threshold: confidence from which a prediction is accepted.
        challenger: a second model, which sees the same pixels.
    """

    def __init__(self, engine: Engine, *, accept_threshold: float, challenger: Engine | None = None) -> None:
        self._engine = engine
        self._accept_threshold = np.float32(accept_threshold)
        self._challenger = challenger

    def classify(self, contents: Iterable[Content]) -> Scored:
        """Decodes and scores contents; every image ends up scored or failed, in the order given.

        Raises:
            EngineError: when a model scores nothing at all.
        """
        found = _Found()
        for chunk in chunks(contents):
            batch = decode_batch((content for _, content in chunk), len(chunk))
            digits, probabilities, challenging = self._ask(batch.digits, batch.errors)
            found.add(
                chunk, batch.errors, digits=digits, probabilities=probabilities, challenging=challenging
            )
        return self._decide(found)

    def _ask(
        self, digits: np.ndarray, errors: list[ImageError | None]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Adds to the errors; returns the digits that were scored, and what each model says of them."""
        slots = np.flatnonzero([error is None for error in errors])
        answers = ask(self._engine, digits[slots])
        for row, said in answers.errors.items():
            errors[slots[row]] = ImageError(FailureCode.ENGINE, said)
        scored = np.setdiff1d(np.arange(len(slots)), list(answers.errors))
        digits = digits[slots[scored]]
        return digits, answers.probabilities[scored], self._ask_challenger(digits)

    def _ask_challenger(self, digits: np.ndarray) -> np.ndarray:
        """Returns float32[N, 10]; NaN where there is no answer."""
        if self._challenger is None:
            return np.full((len(digits), CLASSES), np.nan, np.float32)
        answers = ask(self._challenger, digits)
        answers.probabilities[list(answers.errors)] = np.nan
        return answers.probabilities

    def _decide(self, found: "_Found") -> Scored:
        first, second, confidence, second_confidence = _top_two(np.concatenate(found.probabilities))
        challenging = np.concatenate(found.challenging)
        silent = np.isnan(challenging[:, 0])
        challenger, _, challenger_confidence, _ = _top_two(challenging)
        return Scored(
            images=tuple(found.images),
            first=first,
            second=second,
            confidence=confidence,
            second_confidence=second_confidence,
            accepted=confidence >= self._accept_threshold,
            challenger=np.where(silent, NO_LABEL, challenger),
            challenger_confidence=np.where(silent, np.float32(NO_NUMBER), challenger_confidence),
            failures=tuple(found.failures),
            shown=found.shown,
        )


class _Found:
    """What the chunks of one call gave, in order; of pixels only the few that a report shows."""

    def __init__(self) -> None:
        nothing = np.zeros((0, CLASSES), np.float32)
        self.images: list[ListedImage] = []
        self.failures: list[Failure] = []
        self.probabilities = [nothing]
        self.challenging = [nothing]
        self.shown = Shown()

    def add(
        self,
        chunk: list[Content],
        errors: list[ImageError | None],
        *,
        digits: np.ndarray,
        probabilities: np.ndarray,
        challenging: np.ndarray,
    ) -> None:
        """Takes a chunk: its contents, their errors, and of those without one digits and answers."""
        start = len(self.images)
        self.probabilities.append(probabilities)
        self.challenging.append(challenging)
        for (image, _), error in zip(chunk, errors, strict=True):
            if error is None:
                self.images.append(image)
            else:
                self.failures.append(failure_of(image, error))
        self.shown.add_failures(chunk, errors)
        self.shown.add(
            self.images[start:], digits, start=start, probabilities=probabilities, challenging=challenging
        )


def chunks(contents: Iterable[tuple[T, bytes | ImageError]]) -> Iterator[list[tuple[T, bytes | ImageError]]]:
    """Yields contents, each with what it belongs to, in lists that are bounded in number and in bytes."""
    chunk: list[tuple[T, bytes | ImageError]] = []
    held = 0
    for owner, content in contents:
        chunk.append((owner, content))
        held += len(content) if isinstance(content, bytes) else 0
        if len(chunk) == _CHUNK_IMAGES or held >= _CHUNK_BYTES:
            yield chunk
            chunk, held = [], 0
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


def make_classifier(bundle: Bundle, *, accept_threshold: float, challenger: Bundle | None) -> Classifier:
    """Loads the models of one or two bundles.

    Raises:
        UserError: when a bundle has been changed since it was opened.
        EngineError: when this machine cannot run one.
    """
    return Classifier(
        bundle.load(),
        accept_threshold=accept_threshold,
        challenger=None if challenger is None else challenger.load(),
    )
