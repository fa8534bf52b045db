"""A list of labeled image files, compressed: some 20 bytes a file instead of 500."""

import base64
import hashlib
import itertools
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Self

import numpy as np

from digitmill.storage import ListedImage
from schemas.digit import NOT_A_DIGIT
from trainer.data.reading import Shard

_BLOCK: Final = 8_192
_SIZE_BYTES: Final = 8


class LabeledFile(NamedTuple):
    """An image file with its label.

    Attributes:
        image: the file as it was listed.
        label: the digit it shows, or `NOT_A_DIGIT`.
        sha256: expected SHA-256 of its bytes, hexadecimal; empty if unknown.
        content: its bytes, if they were given along with its name; then no file is read.
    """

    image: ListedImage
    label: int
    sha256: str = ""
    content: bytes = b""


class FileList:
    """Labeled files in a fixed order.

    Args:
        blocks: `_BLOCK` files each, compressed.
        class_counts: number of files of each label, 0 to `NOT_A_DIGIT`.
    """

    def __init__(self, blocks: list[bytes], class_counts: list[int]) -> None:
        self._blocks = blocks
        self.class_counts = class_counts

    @classmethod
    def of(cls, files: Iterable[LabeledFile]) -> Self:
        """Return the list of some files, with one block in memory at a time."""
        blocks, counts, rest = [], [0] * (NOT_A_DIGIT + 1), iter(files)
        while some := list(itertools.islice(rest, _BLOCK)):
            for file in some:
                counts[file.label] += 1
            blocks.append(_pack(some))
        return cls(blocks, counts)

    def __len__(self) -> int:
        return sum(self.class_counts)

    @property
    def digest(self) -> str:
        """SHA-256 of the files as they were listed."""
        digest = hashlib.sha256()
        for block in self._blocks:
            digest.update(hashlib.sha256(zlib.decompress(block)).digest())
        return digest.hexdigest()

    def select(self, shard: Shard, *, most: int) -> Iterator[tuple[np.ndarray, list[LabeledFile]]]:
        """Yield the files of a shard with their positions, in lists of at most `most` files."""
        index, count = shard
        for number, block in enumerate(self._blocks):
            first = number * _BLOCK
            files = _unpack(block)[(index - first) % count :: count]
            mine = np.arange(first + (index - first) % count, first + _BLOCK, count)[: len(files)]
            for start in range(0, len(mine), most):
                yield mine[start : start + most], files[start : start + most]

    def to_bytes(self) -> bytes:
        """Return the list as bytes, for other workers."""
        head = json.dumps([self.class_counts, [len(block) for block in self._blocks]]).encode()
        return b"".join([len(head).to_bytes(_SIZE_BYTES), head, *self._blocks])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse the output of `to_bytes`."""
        at = _SIZE_BYTES + int.from_bytes(data[:_SIZE_BYTES])
        counts, sizes = json.loads(data[_SIZE_BYTES:at])
        ends = list(itertools.accumulate(sizes, initial=at))
        return cls([data[start:end] for start, end in itertools.pairwise(ends)], counts)


def _pack(files: list[LabeledFile]) -> bytes:
    """Return some files, compressed. By columns: a list for each file takes three times as long."""
    images, labels, hashes, contents = zip(*files, strict=True)
    encoded = [base64.b64encode(content).decode() if content else "" for content in contents]
    columns = [*zip(*images, strict=True), labels, hashes, encoded]
    uris = columns[0]
    common = os.path.commonprefix([min(uris), max(uris)])  # noqa: RUF071 - text
    columns[0] = [uri[len(common) :] for uri in uris]
    # Names that are not UTF-8 hold surrogates, which JSON's escapes keep.
    return zlib.compress(json.dumps([common, columns], separators=(",", ":")).encode(), level=1)


def _unpack(block: bytes) -> list[LabeledFile]:
    """Return what `_pack` compressed."""
    common, (uris, *others, labels, hashes, encoded) = json.loads(zlib.decompress(block))
    images = map(ListedImage, [common + uri for uri in uris], *others)
    contents = (base64.b64decode(content) for content in encoded)
    return list(map(LabeledFile, images, labels, hashes, contents))
