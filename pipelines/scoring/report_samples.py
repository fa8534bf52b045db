"""What is kept of the pixels while images are scored: few of them, and how bright all of them are."""

import contextlib
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from digitmill.imaging.decode import decode
from digitmill.imaging.grey import shrink, to_grey
from digitmill.storage.listed_image import ListedImage
from pipelines.scoring.kept_pixels import KeptPixels
from pipelines.statistics.agreement import DISAGREEMENTS_KEPT
from pipelines.statistics.kept_images import DOUBTFUL_KEPT, EXAMPLES_KEPT, MISTAKEN_KEPT, draw_of
from schemas.digit import CLASSES
from schemas.failure import FailureCode, ImageError
from schemas.model.model_card import HISTOGRAM_BINS
from schemas.prediction import NO_LABEL

_LEVELS: Final = 256
_BIN_OF_LEVEL: Final = np.minimum(np.arange(_LEVELS) * HISTOGRAM_BINS // (_LEVELS - 1), HISTOGRAM_BINS - 1)
_DECODED: Final = (FailureCode.BLANK, FailureCode.ENGINE)
"""Failures of images whose bytes decode."""

_EVERY: Final = 4
"""Of so many images one has its pixels counted: all of them would take 1 us an image."""

_THUMBNAIL: Final = 56
"""Longer side of a failure's picture, pixels."""


class Shown:
    """Keeps what a report shows of the images of one call; its memory does not grow with them.

    Attributes:
        doubtful: the least sure rows.
        mistaken: the surest of those whose label is another digit.
        disagreeing: the rows on which both models are sure and differ.
        examples: by predicted digit a sample of its rows.
        grey_levels: int64[20], pixels of every fourth image by bin of equal width over [0, 255], as a
            model card has them.
        failed: by failure code the image whose name is first, and its thumbnail, uint8.
    """

    def __init__(self) -> None:
        self.doubtful = KeptPixels(DOUBTFUL_KEPT)
        self.mistaken = KeptPixels(MISTAKEN_KEPT)
        self.disagreeing = KeptPixels(DISAGREEMENTS_KEPT)
        self.examples = tuple(KeptPixels(EXAMPLES_KEPT) for _ in range(CLASSES))
        self.grey_levels = np.zeros(HISTOGRAM_BINS, np.int64)
        self.failed: dict[str, tuple[str, np.ndarray]] = {}

    def add(
        self,
        images: Sequence[ListedImage],
        digits: np.ndarray,
        *,
        start: int,
        probabilities: np.ndarray,
        challenging: np.ndarray,
    ) -> None:
        """Takes rows that follow all that were taken before.

        Args:
            images: N of them.
            digits: uint8[N, 28, 28].
            start: number of the first row.
            probabilities: float32[N, 10].
            challenging: what the challenger says, float32[N, 10]; NaN where there is no answer.
        """
        if not images:
            return
        rows = np.arange(start, start + len(images))
        first, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
        self.grey_levels += grey_levels(digits[::_EVERY])
        self.doubtful.add(rows, digits, ranks=sure)
        labels = np.array([image.label for image in images])
        wrong = (labels != first) & (labels != NO_LABEL)
        if wrong.any():
            self.mistaken.add(rows[wrong], digits[wrong], ranks=-sure[wrong])
        self._draw_examples(images, rows, first=first, digits=digits)
        # Where there is no answer, argmax gives the NaN's index.
        differ = (first != challenging.argmax(axis=1)) & ~np.isnan(challenging[:, 0])
        if differ.any():
            # The less sure of the two says how grave it is: then both are sure.
            both = np.minimum(sure, challenging.max(axis=1))
            self.disagreeing.add(rows[differ], digits[differ], ranks=-both[differ])

    def _draw_examples(
        self, images: Sequence[ListedImage], rows: np.ndarray, *, first: np.ndarray, digits: np.ndarray
    ) -> None:
        lots = np.array([draw_of(image.uri) for image in images], np.float64)
        worst = np.array([kept.worst for kept in self.examples])
        for digit in np.unique(first[lots < worst[first]]).tolist():
            these = np.flatnonzero((first == digit) & (lots < worst[digit]))
            self.examples[digit].add(rows[these], digits[these], ranks=lots[these])

    def add_failures(
        self, contents: Sequence[tuple[ListedImage, bytes | ImageError]], errors: Sequence[ImageError | None]
    ) -> None:
        """Takes images and their files' bytes, of which those with an error may have a picture."""
        for (image, content), error in zip(contents, errors, strict=True):
            if error is None or error.code not in _DECODED or not isinstance(content, bytes):
                continue
            if error.code not in self.failed or image.uri < self.failed[error.code][0]:
                # What decoded once may meet a decoder that is out of memory now: then there is no picture.
                with contextlib.suppress(ImageError):
                    self.failed[error.code] = image.uri, shrink(to_grey(decode(content)), _THUMBNAIL)


def grey_levels(digits: np.ndarray) -> np.ndarray:
    """Returns how many pixels of uint8[N, 28, 28] fall into each bin, int64[20]."""
    # NumPy would make eight bytes of each pixel first, and take six times as long.
    counts = cv2.calcHist([digits.reshape(-1, 1)], [0], None, [_LEVELS], [0, _LEVELS])
    return np.bincount(_BIN_OF_LEVEL, weights=counts.ravel(), minlength=HISTOGRAM_BINS).astype(np.int64)
