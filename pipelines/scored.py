"""The answers for one work item, before they become files."""

import base64
import dataclasses

import cv2
import numpy as np

from pipelines.agreement import Disagreement, count_agreements
from pipelines.kept_pixels import KeptPixels
from pipelines.names import folder_of
from pipelines.statistics import BINS, Doubtful, ItemStatistics, Tally
from pipelines.work_item import ListedImage
from schemas.digit import CLASSES
from schemas.failure import Failure
from schemas.manifest import Part
from schemas.prediction import NO_LABEL


@dataclasses.dataclass(frozen=True)
class Scored:
    """The answers for one work item, as columns of equal length.

    Attributes:
        images: those that were scored, in the item's order.
        first: int64[N], the most probable digit.
        second: int64[N], the second most probable one.
        confidence: float32[N], probability of `first`.
        second_confidence: float32[N], probability of `second`.
        accepted: bool[N].
        challenger: int64[N], the digit most probable to the challenger; `NO_LABEL` where there is none.
        challenger_confidence: float32[N], its probability; NaN where there is none.
        failures: the images that were not scored.
        doubtful: the pixels of the least sure rows, by their place in the columns.
        disagreeing: the pixels of the rows on which both models are sure and differ.
    """

    images: tuple[ListedImage, ...]
    first: np.ndarray
    second: np.ndarray
    confidence: np.ndarray
    second_confidence: np.ndarray
    accepted: np.ndarray
    challenger: np.ndarray
    challenger_confidence: np.ndarray
    failures: tuple[Failure, ...]
    doubtful: KeptPixels
    disagreeing: KeptPixels


def summarise(digest: str, scored: Scored, parts: tuple[Part, ...]) -> ItemStatistics:
    """Returns the statistics of what was scored."""
    labels = np.array([image.label for image in scored.images], np.int64)
    known = labels != NO_LABEL
    confusion = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(confusion, (labels[known], scored.first[known]), 1)
    bins = np.minimum((scored.confidence * BINS).astype(np.int64), BINS - 1)
    return ItemStatistics(
        digest=digest,
        listed=len(scored.images) + len(scored.failures),
        scored=len(scored.images),
        accepted=int(scored.accepted.sum()),
        failures=scored.failures,
        tallies=_tallies(scored),
        confidences=tuple(np.bincount(bins, minlength=BINS).tolist()),
        confusion=tuple(map(tuple, confusion.tolist())),
        doubtful=_doubtful(scored),
        parts=parts,
        agreements=count_agreements(scored.first, scored.challenger, labels=labels),
        disagreements=_disagreements(scored),
    )


def _tallies(scored: Scored) -> tuple[Tally, ...]:
    numbers: dict[str, int] = {}
    folders = [numbers.setdefault(folder_of(image.uri), len(numbers)) for image in scored.images]
    images = np.zeros((len(numbers), CLASSES), np.int64)
    confidence = np.zeros((len(numbers), CLASSES), np.float64)
    index = (np.array(folders, np.int64), scored.first)
    np.add.at(images, index, 1)
    np.add.at(confidence, index, scored.confidence)
    return tuple(
        Tally(folder, digit, int(images[number, digit]), float(confidence[number, digit]))
        for folder, number in numbers.items()
        for digit in np.flatnonzero(images[number]).tolist()
    )


def _doubtful(scored: Scored) -> tuple[Doubtful, ...]:
    kept = zip(scored.doubtful.rows.tolist(), scored.doubtful.digits, strict=True)
    return tuple(
        Doubtful(
            confidence=float(scored.confidence[row]),
            image=scored.images[row].uri,
            digit=int(scored.first[row]),
            second_digit=int(scored.second[row]),
            label=scored.images[row].label,
            png=_png(digit),
        )
        for row, digit in kept
    )


def _disagreements(scored: Scored) -> tuple[Disagreement, ...]:
    kept = zip(scored.disagreeing.rows.tolist(), scored.disagreeing.digits, strict=True)
    return tuple(
        Disagreement(
            image=scored.images[row].uri,
            digit=int(scored.first[row]),
            confidence=float(scored.confidence[row]),
            challenger_digit=int(scored.challenger[row]),
            challenger_confidence=float(scored.challenger_confidence[row]),
            label=scored.images[row].label,
            png=_png(digit),
        )
        for row, digit in kept
    )


def _png(digit: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", digit)[1].tobytes()).decode()
