"""Prediction rows stored as columns, in a tenth of the memory of dictionaries."""

import dataclasses
import itertools
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Self

import numpy as np

from digitmill.storage.listed_image import ListedImage
from pipelines.history.incremental import Version
from pipelines.rows.row_columns import PROBABILITIES, Columns
from pipelines.scoring.report_samples import ReportSamples
from pipelines.scoring.scored_batch import ScoredBatch
from schemas.digit import CLASSES
from schemas.failure import Failure
from schemas.prediction import NO_LABEL, NO_NUMBER, Decision

_HEAD: Final = struct.Struct("<II")

_DEFAULTS: Final[Mapping[str, np.generic]] = {
    "generation": np.int64(0),
    "digit": np.int64(0),
    "second_digit": np.int64(0),
    "confidence": np.float32(0),
    "second_confidence": np.float32(0),
    "label": np.int64(NO_LABEL),
    "challenger_digit": np.int64(NO_LABEL),
    "challenger_confidence": np.float32(NO_NUMBER),
}
"""Numeric columns, with the values that stand for missing ones."""

_ACCEPTED: Final = "accepted"
_OWNER: Final = "owner"
_PROBABILITIES: Final = "probabilities"


@dataclasses.dataclass(frozen=True)
class PackedRows:
    """Rows with the version of the listed file that each belongs to.

    Attributes:
        images: N URIs.
        files: URIs of the listed files; empty if the image is the file.
        columns: N values for each name of `_DEFAULTS`, for `accepted` (bool), and for `owner` (int64), the
            generation of the listed file; also `probabilities` (float32[N, 10]) if known.
    """

    images: Sequence[str]
    files: Sequence[str]
    columns: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, found: Columns, owner: Callable[[str], Version]) -> Self:
        """Pack rows of predictions; `owner` returns the version of the listed file for an image's URI.

        Raises:
            ValueError: when a row has no image.
        """
        images = list(found["image"])
        if not all(images):
            raise ValueError("a row without an image's URI")
        versions = [owner(image) for image in images]
        columns = {name: np.asarray(found[name]) for name in _DEFAULTS}
        accept = Decision.ACCEPT.value
        columns[_ACCEPTED] = np.array([decision == accept for decision in found["decision"]], bool)
        columns[_OWNER] = np.array([generation for _, generation in versions], np.int64)
        if not found.keys().isdisjoint(PROBABILITIES):
            columns[_PROBABILITIES] = np.stack(
                [np.asarray(found[name], np.float32) for name in PROBABILITIES], 1
            )
        files = ["" if file == image else file for image, (file, _) in zip(images, versions, strict=True)]
        return cls(images, files, columns)

    def take(self, rows: Sequence[int]) -> "PackedRows":
        """Return some of the rows."""
        return PackedRows(
            [self.images[row] for row in rows],
            [self.files[row] for row in rows],
            {name: values[list(rows)] for name, values in self.columns.items()},
        )

    def owners(self) -> list[str]:
        """Return the URI of the listed file of each row."""
        return [file or image for image, file in zip(self.images, self.files, strict=True)]

    def to_bytes(self) -> bytes:
        """Return the rows as bytes."""
        # URIs contain no NUL.
        text = "\0".join((*self.images, *self.files)).encode()
        known = [name for name in (*_names(), _PROBABILITIES) if name in self.columns]
        arrays = (self.columns[name].tobytes() for name in known)
        return b"".join((_HEAD.pack(len(self.images), len(text)), text, *arrays))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse the output of `to_bytes`."""
        rows, length = _HEAD.unpack_from(data)
        at = _HEAD.size + length
        words = data[_HEAD.size : at].decode().split("\0")
        columns: dict[str, np.ndarray] = {}
        for name, kind in _names().items():
            columns[name] = np.frombuffer(data, kind, rows, at)
            at += columns[name].nbytes
        if at < len(data):
            columns[_PROBABILITIES] = np.frombuffer(data, np.float32, offset=at).reshape(rows, CLASSES)
        return cls(words[:rows], words[rows:], columns)


def _names() -> dict[str, type]:
    return {name: type(default) for name, default in _DEFAULTS.items()} | {_ACCEPTED: bool, _OWNER: np.int64}


class RowTable:
    """The rows of a bucket from all runs, numbered in the order of arrival."""

    def __init__(self) -> None:
        self._blocks: list[PackedRows] = []
        self._images: list[str] = []

    def add(self, data: bytes) -> Iterator[tuple[Version, int]]:
        """Add packed rows; yield each row's file version and number."""
        block = PackedRows.from_bytes(data)
        self._blocks.append(block)
        first = len(self._images)
        self._images += block.images
        versions = zip(block.owners(), block.columns[_OWNER].tolist(), strict=True)
        return zip(versions, itertools.count(first), strict=False)

    def batch(self, numbers: Sequence[int], failures: Iterable[Failure]) -> ScoredBatch:
        """Return the rows with these numbers, in this order, and failures, as a scored batch."""
        columns = {name: self._column(name)[list(numbers)] for name in _names()}
        images = zip(
            (self._images[number] for number in numbers),
            columns["generation"].tolist(),
            columns["label"].tolist(),
            strict=True,
        )
        return ScoredBatch(
            images=tuple(ListedImage(uri, made, size=-1, label=label) for uri, made, label in images),
            first=columns["digit"],
            second=columns["second_digit"],
            confidence=columns["confidence"],
            second_confidence=columns["second_confidence"],
            accepted=columns[_ACCEPTED],
            challenger=columns["challenger_digit"],
            challenger_confidence=columns["challenger_confidence"],
            failures=tuple(failures),
            samples=ReportSamples(),
            all_probabilities=self._probabilities(numbers),
        )

    def _probabilities(self, numbers: Sequence[int]) -> np.ndarray | None:
        """Return the probabilities of some rows; None if no block has any."""
        if not any(_PROBABILITIES in block.columns for block in self._blocks):
            return None
        unknown = np.full((1, CLASSES), NO_NUMBER, np.float32)
        blocks = (
            block.columns.get(_PROBABILITIES, unknown.repeat(len(block.images), 0)) for block in self._blocks
        )
        return np.concatenate([*blocks])[list(numbers)]

    def _column(self, name: str) -> np.ndarray:
        empty: np.ndarray = np.zeros(0, _names()[name])
        return np.concatenate([empty, *(block.columns[name] for block in self._blocks)])
