"""The answers for one work item, before they become files."""

import base64
import dataclasses

import cv2
import numpy as np

from pipelines.names import folder_of
from pipelines.statistics import BINS, DOUBTFUL_KEPT, Doubtful, ItemStatistics, Tally
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
        digits: uint8[N, 28, 28], what the model saw.
        first: int64[N], the most probable digit.
        second: int64[N], the second most probable one.
        confidence: float32[N], probability of `first`.
        second_confidence: float32[N], probability of `second`.
        accepted: bool[N].
        failures: the images that were not.
    """

    images: tuple[ListedImage, ...]
    digits: np.ndarray
    first: np.ndarray
    second: np.ndarray
    confidence: np.ndarray
    second_confidence: np.ndarray
    accepted: np.ndarray
    failures: tuple[Failure, ...]


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
    least = np.argsort(scored.confidence, kind="stable")[:DOUBTFUL_KEPT].tolist()
    return tuple(
        Doubtful(
            confidence=float(scored.confidence[row]),
            image=scored.images[row].uri,
            digit=int(scored.first[row]),
            second_digit=int(scored.second[row]),
            label=scored.images[row].label,
            png=base64.b64encode(cv2.imencode(".png", scored.digits[row])[1].tobytes()).decode(),
        )
        for row in least
    )
