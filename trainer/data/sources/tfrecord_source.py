"""`tfrecord:GLOB`: labeled images that `digitmill pack` wrote."""

import contextlib
import functools
import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

import numpy as np

from digitmill.imaging.batch import decode_batch
from digitmill.records import Frame, mean_size, open_stream, parse_packed_image, read_frames
from digitmill.storage import ImageReader, ListedImage, NothingFoundError, list_place, uri_of_place
from digitmill.storage.names import place_of
from digitmill.storage.patterns import has_magic
from schemas.errors import UserError, counted
from schemas.failure import ImageError
from schemas.prediction import NO_LABEL
from trainer.data.reading import (
    ALONE,
    TRAIN_SHARE,
    Decode,
    DecodedBatch,
    ReadOptions,
    ReadPlan,
    Shard,
    Workers,
    read,
    stream,
)
from trainer.data.sources.folder import check_split_coverage
from trainer.data.splits import Digits, evenly_spaced
from trainer.data.stream import Stream

_CHUNK: Final = 1_024
_HEAD: Final = 2**18
"""Bytes of the first shard that are read to estimate the size of records."""

_LIKELY_SIZE: Final = 512
"""Assumed bytes of a record where the first one is damaged or the shard is gzipped."""

_SAMPLED: Final = 16
"""Shards whose heads are read."""

_GZIP: Final = b"\x1f\x8b"
_INFLATED: Final = 2**22
_EVEN: Final = 0.98
"""Least share of the greatest worker's bytes that each must have for workers to read whole shards."""

_SHARD_BITS: Final = 40
"""A position is the number of a shard and, in the lower bits, that of a record in it."""


class RecordsSource:
    """Shards of packed images with labels, local or in a bucket.

    Splits depend on the pixels, as those of `folder:` do, so that a folder and its pack give the same.

    Args:
        pattern: the shards; `*`, `?`, `[…]`, `**`.

    Raises:
        UserError: when the pattern matches no file.
    """

    def __init__(self, pattern: str, reading: ReadOptions | None = None) -> None:
        self.name = f"tfrecord:{pattern}"
        self._reading = reading or ReadOptions()
        self._pattern = pattern
        self._shards = _matching(pattern)

    def read(self, *, validation_fraction: float, workers: Workers = ALONE) -> Digits:
        """Decode every image and divide them; the shares are fixed, whatever the fraction."""
        del validation_fraction
        plan = self._plan(whole_shards=False)
        return self._checked(read(plan, reading=self._reading, workers=workers))

    def stream(self, *, workers: Workers, check: Callable[[Digits], Digits]) -> Stream:
        """Begin to decode the images; see `trainer.data.reading.StreamSource`.

        If the shards divide evenly, each worker reads only its own shards instead of all of them.
        """
        whole_shards = _divide_evenly(self._shards, workers.count)
        plan = self._plan(whole_shards=whole_shards)
        own = self._shards[workers.index :: workers.count] if whole_shards else self._shards
        share = sum(shard.size for shard in own) / max(1, sum(shard.size for shard in self._shards))
        return stream(
            plan,
            reading=self._reading,
            workers=workers,
            epoch_images=round(plan.images * TRAIN_SHARE * (share if whole_shards else 1 / workers.count)),
            check=lambda digits: check(self._checked(digits)),
        )

    def _plan(self, *, whole_shards: bool) -> ReadPlan:
        """Return the plan in which workers share whole shards, or every shard record by record."""
        return ReadPlan(
            self.name,
            _estimate(self._shards),
            made_from=[*self._shards, *(["whole shards"] if whole_shards else [])],
            chunks=functools.partial(_chunks, self._shards, pattern=self._pattern, whole_shards=whole_shards),
            decoder=_decoder,
            owners=_shard_owners if whole_shards else _owners,
            description=counted(len(self._shards), "shard"),
        )

    def _checked(self, digits: Digits) -> Digits:
        """Return the digits; raise UserError if there are none, or too few of a label."""
        if not digits.train_images() and not len(digits.test):
            raise UserError(
                "the packed shards hold no images",
                value=self.name,
                hint="pack a folder: digitmill pack --input FOLDER --labels folder --output DIR",
            )
        if self._reading.complete:
            check_split_coverage(digits)
        return digits


def _matching(pattern: str) -> list[ListedImage]:
    with contextlib.suppress(NothingFoundError):
        shards = list(list_place(pattern))
        # Without a wildcard it names one file, or a folder whose other files are no shards.
        if has_magic(pattern) or [shard.uri for shard in shards] == [uri_of_place(pattern)]:
            return shards
    folder = pattern.rstrip("/")
    raise UserError(
        "no file matches tfrecord:GLOB",
        value=pattern,
        hint=f"check the pattern. To read a folder, name its files: tfrecord:{folder}/packed-*.tfrecord",
    )


def _estimate(shards: Sequence[ListedImage]) -> int:
    """Return the approximate number of records, by the size of the first ones in some shards."""
    some = [shards[number] for number in evenly_spaced(len(shards), _SAMPLED)]
    with ImageReader() as reader:
        means = [mean for shard in some if (mean := _mean_size(reader.read_head(shard, _HEAD)))]
    mean = sum(means) / len(means) if means else _LIKELY_SIZE
    return round(sum(shard.size for shard in shards) / mean)


def _mean_size(head: bytes) -> float:
    """Return the mean size of the first records in a shard's head, as they are stored; 0 without any."""
    mean = mean_size(head, most=len(head))
    if mean or not head.startswith(_GZIP):
        return mean
    try:
        inflated = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _INFLATED)
    except zlib.error:
        return 0.0
    # A shard that is longer when inflated than allowed here is no pack of images.
    return mean_size(inflated, most=len(inflated)) * len(head) / max(1, len(inflated))


def _divide_evenly(shards: Sequence[ListedImage], workers: int) -> bool:
    """Whether workers that take shards in turn get the same share, by bytes."""
    shares = [sum(shard.size for shard in shards[worker::workers]) for worker in range(workers)]
    return workers > 1 and min(shares) >= _EVEN * max(shares) > 0


def _shard_owners(positions: np.ndarray, workers: int) -> np.ndarray:
    """Return the worker of each record where each has shards of its own."""
    return (positions >> _SHARD_BITS) % workers


def _owners(positions: np.ndarray, workers: int) -> np.ndarray:
    """Return the worker of each record: record by record in turn, however shards were cut.

    With one more for each shard, so that the first worker does not get the odd record of them all.
    """
    return ((positions >> _SHARD_BITS) + (positions & (1 << _SHARD_BITS) - 1)) % workers


class _Chunk(NamedTuple):
    """Some records of one shard.

    Attributes:
        shard: the shard's number.
        name: the shard's name, for messages.
        frames: the records as they were read.
    """

    shard: int
    name: str
    frames: Sequence[Frame]


def _chunks(
    shards: Sequence[ListedImage], shard: Shard, *, pattern: str, whole_shards: bool
) -> Iterator[_Chunk]:
    """Yield a worker's records.

    Where records are shared, all shards are read from end to end, of which records are found in a tenth of
    the time that it takes to decode them: where others start is not known.
    """
    for number, file in enumerate(shards):
        if whole_shards and number % shard[1] != shard[0]:
            continue
        only = (0, 1) if whole_shards else ((shard[0] - number) % shard[1], shard[1])
        name = place_of(file.uri, pattern)
        with _open_shard(file) as opened:
            frames = _frames(opened, only=only)
            while some := list(itertools.islice(frames, _CHUNK)):
                yield _Chunk(number, name, some)


@contextlib.contextmanager
def _decoder(processes: int) -> Iterator[Decode]:
    del processes
    yield _decode


def _decode(chunk: _Chunk) -> DecodedBatch:
    images = [parse_packed_image(frame.payload) for frame in chunk.frames]
    names = [
        f"{chunk.name}[{frame.key}]" + (f" {image.name.decode(errors='replace')}" if image.name else "")
        for frame, image in zip(chunk.frames, images, strict=True)
    ]
    for name, image in zip(names, images, strict=True):
        if isinstance(image.content, bytes) and image.label == NO_LABEL:
            raise UserError(
                "a packed image has no label",
                value=name,
                hint="pack again with --labels folder, or --labels CSV with a path and a label for each",
            )
    return DecodedBatch(
        positions=np.array([(chunk.shard << _SHARD_BITS) + frame.position for frame in chunk.frames]),
        names=names,
        labels=np.array([image.label for image in images], np.int64),
        decoded=decode_batch((image.content for image in images), len(images)),
    )


def _open_shard(file: ListedImage) -> BinaryIO:
    with ImageReader() as reader:
        try:
            return reader.fetch(file)
        except ImageError as error:
            raise UserError(
                f"cannot read the shard ({error})", value=place_of(file.uri), hint="pack or copy it again"
            ) from error


def _frames(file: BinaryIO, *, only: Shard) -> Iterator[Frame]:
    """Yield a worker's records of a file; where its gzip data is damaged, one worker's last is the error."""
    position = only[0]
    try:
        for frame in read_frames(open_stream(file), only=only):
            yield frame
            position = frame.position + only[1]
    except ImageError as error:
        if only[0] == 0:
            yield Frame(position, "end", error)
