"""Collects sample images for the report while a work item is scored, in bounded memory."""

import contextlib
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from digitmill.imaging.gray import shrink, to_gray
from digitmill.imaging.page_reading import pixels_of
from digitmill.ink_statistics import InkCounter
from digitmill.storage.listed_image import ListedImage
from pipelines.scoring.page_members import OwnedContent
from pipelines.statistics.agreement import MAX_DISAGREEMENTS
from pipelines.statistics.kept_images import (
    MAX_CONFUSED,
    MAX_DOUBTFUL,
    MAX_EXAMPLES_PER_DIGIT,
    MAX_MISTAKEN,
    sample_rank,
)
from schemas.digit import CLASSES, SIDE
from schemas.failure import FailureCode, ImageError
from schemas.model.model_card import HISTOGRAM_BINS
from schemas.prediction import NO_LABEL

_LEVELS: Final = 256
_BIN_OF_LEVEL: Final = np.minimum(np.arange(_LEVELS) * HISTOGRAM_BINS // (_LEVELS - 1), HISTOGRAM_BINS - 1)
_DECODED: Final = (FailureCode.BLANK, FailureCode.ENGINE)
"""Failure codes of images that can be decoded."""

_EVERY: Final = 4
"""Pixels are counted in every `_EVERY`-th image; counting all would take 1 us per image."""

_THUMBNAIL: Final = 56
"""Longer side of a failed image's thumbnail, in pixels."""


class LowestRankedPixels:
    """Keeps the pixels of the `most` rows with the lowest ranks; earlier rows win ties.

    Attributes:
        rows: int64[K], numbers of the kept rows, lowest rank first.
        digits: uint8[K, 28, 28], their pixels.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._ranks = np.zeros(0, np.float64)
        self.rows = np.zeros(0, np.int64)
        self.digits = np.zeros((0, SIDE, SIDE), np.uint8)

    @property
    def rank_bound(self) -> float:
        """Rows with a lower rank than this are kept."""
        return float(self._ranks[-1]) if len(self._ranks) == self._most else np.inf

    def add(self, rows: np.ndarray, digits: np.ndarray, *, ranks: np.ndarray) -> None:
        """Offer row numbers int64[N] with digits uint8[N, 28, 28]; they follow all rows offered before."""
        # Rank within the chunk first, to avoid copying all its pixels.
        few = np.argsort(ranks, kind="stable")[: self._most]
        all_ranks = np.concatenate([self._ranks, ranks[few]])
        least = np.argsort(all_ranks, kind="stable")[: self._most]
        self._ranks = all_ranks[least]
        self.rows = np.concatenate([self.rows, rows[few]])[least]
        self.digits = np.concatenate([self.digits, digits[few]])[least]


class ReportSamples:
    """Sample images and histograms of one batch.

    Attributes:
        doubtful: the least confident rows.
        mistaken: the most confident rows whose label is another digit.
        confused: the most confident wrong rows, by label and predicted digit.
        disagreeing: rows on which both models are confident but differ.
        examples: a sample of the rows of each predicted digit.
        gray_levels: int64[20], pixels of every fourth image in equal-width bins over [0, 255], as in a
            model card.
        ink: histograms of ink statistics over all rows.
        failed: by failure code, the first image by URI and its thumbnail, uint8.
    """

    def __init__(self) -> None:
        self.doubtful = LowestRankedPixels(MAX_DOUBTFUL)
        self.mistaken = LowestRankedPixels(MAX_MISTAKEN)
        self.confused: dict[tuple[int, int], LowestRankedPixels] = {}
        self.disagreeing = LowestRankedPixels(MAX_DISAGREEMENTS)
        self.examples = tuple(LowestRankedPixels(MAX_EXAMPLES_PER_DIGIT) for _ in range(CLASSES))
        self.gray_levels = np.zeros(HISTOGRAM_BINS, np.int64)
        self.ink = InkCounter()
        self.failed: dict[str, tuple[str, np.ndarray]] = {}

    def add(
        self,
        images: Sequence[ListedImage],
        digits: np.ndarray,
        *,
        start: int,
        probabilities: np.ndarray,
        challenger_probabilities: np.ndarray,
    ) -> None:
        """Add rows that follow all rows added before.

        Args:
            images: N images.
            digits: uint8[N, 28, 28].
            start: number of the first row.
            probabilities: float32[N, 10], from the model.
            challenger_probabilities: float32[N, 10]; NaN without a prediction.
        """
        if not images:
            return
        rows = np.arange(start, start + len(images))
        first, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
        self.gray_levels += gray_levels(digits[::_EVERY])
        self.ink.add(digits)
        self.doubtful.add(rows, digits, ranks=confidence)
        labels = np.array([image.label for image in images])
        wrong = (labels != first) & (labels != NO_LABEL)
        if wrong.any():
            self.mistaken.add(rows[wrong], digits[wrong], ranks=-confidence[wrong])
            for cell in set(zip(labels[wrong].tolist(), first[wrong].tolist(), strict=True)):
                there = wrong & (labels == cell[0]) & (first == cell[1])
                kept = self.confused.setdefault(cell, LowestRankedPixels(MAX_CONFUSED))
                kept.add(rows[there], digits[there], ranks=-confidence[there])
        self._draw_examples(images, rows, first=first, digits=digits)
        # Without a prediction, argmax returns the index of a NaN.
        differ = (first != challenger_probabilities.argmax(axis=1)) & ~np.isnan(
            challenger_probabilities[:, 0]
        )
        if differ.any():
            # Rank by the less confident model, so that both are confident.
            both = np.minimum(confidence, challenger_probabilities.max(axis=1))
            self.disagreeing.add(rows[differ], digits[differ], ranks=-both[differ])

    def _draw_examples(
        self, images: Sequence[ListedImage], rows: np.ndarray, *, first: np.ndarray, digits: np.ndarray
    ) -> None:
        ranks = np.array([sample_rank(image.uri) for image in images], np.float64)
        bounds = np.array([kept.rank_bound for kept in self.examples])
        # Not np.unique, which imports all of numpy.ma first.
        for digit in sorted(set(first[ranks < bounds[first]].tolist())):
            selected = np.flatnonzero((first == digit) & (ranks < bounds[digit]))
            self.examples[digit].add(rows[selected], digits[selected], ranks=ranks[selected])

    def add_failures(self, contents: Sequence[OwnedContent], errors: Sequence[ImageError | None]) -> None:
        """Add thumbnails of failed images that can be decoded."""
        for (image, content), error in zip(contents, errors, strict=True):
            if error is None or error.code not in _DECODED or isinstance(content, ImageError):
                continue
            if error.code not in self.failed or image.uri < self.failed[error.code][0]:
                # Decoding again may run out of memory; skip the thumbnail then.
                with contextlib.suppress(ImageError):
                    self.failed[error.code] = image.uri, shrink(to_gray(pixels_of(content)), _THUMBNAIL)


def gray_levels(digits: np.ndarray) -> np.ndarray:
    """Return the histogram of gray levels, int64[20], of digits uint8[N, 28, 28]."""
    # NumPy would first convert each pixel to eight bytes and take six times as long.
    counts = cv2.calcHist([digits.reshape(-1, 1)], [0], None, [_LEVELS], [0, _LEVELS])
    return np.bincount(_BIN_OF_LEVEL, weights=counts.ravel(), minlength=HISTOGRAM_BINS).astype(np.int64)
