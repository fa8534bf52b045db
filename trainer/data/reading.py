"""Reads sources: sharding, splitting, caching and rejects, the same for all kinds of source.

A source describes its images in a `ReadPlan`, chunk by chunk, and how to decode one; `read` does the rest.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np

from digitmill.commands.progress_bar import progress_bar, shows_bar
from digitmill.imaging.batch import DigitBatch
from digitmill.imaging.canonical import PREPROCESSING_VERSION
from schemas.digit import NOT_A_DIGIT
from schemas.errors import UserError, counted
from schemas.failure import FailureCode, ImageError
from trainer.data.decoder_pool import decode_all
from trainer.data.rejects import Rejects
from trainer.data.share import Rows, Share, ShareCache, ShareWriter, fits_memory, merge
from trainer.data.splits import PARTS, Digits, Split, SplitSummary
from trainer.data.stream import Stream, Watch

TRAIN_SHARE: Final = 0.8
VALIDATION_SHARE: Final = 0.1
"""Shares for sources without splits of their own; the rest is the test split."""

_FORMAT: Final = 2
"""Version of the cache's format."""

Shard = tuple[int, int]
"""A worker's index and the number of workers."""


@dataclasses.dataclass(frozen=True)
class Workers:
    """This worker's place among those that read a source together.

    Attributes:
        index: this worker's index.
        count: number of workers.
        exchange: sends this worker's bytes to all workers, and returns those of every worker, in order. With
            it, each decodes only its own share; without it, each decodes everything.
    """

    index: int = 0
    count: int = 1
    exchange: Callable[[bytes], Sequence[bytes]] | None = None

    def from_chief(self, make: Callable[[], bytes]) -> bytes:
        """Return the result of `make`, called by the chief for all workers, or by each without an exchange.

        Raises:
            UserError: on every worker, if `make` raises it on the chief.
        """
        if self.exchange is None or self.count == 1:
            return make()
        told = b""
        if self.index == 0:
            try:
                told = b"+" + make()
            except UserError as error:
                told = b"-" + json.dumps(error.fields()).encode()
        told = self.exchange(told)[0]
        if told[:1] == b"-":
            raise UserError(**json.loads(told[1:]))
        return told[1:]


ALONE: Final = Workers()


class Source(Protocol):
    """A source of labeled digits. Constructors make only quick checks; reading may take long."""

    def read(self, *, validation_fraction: float, workers: Workers = ALONE) -> Digits:
        """Return the labeled digits; raise UserError if the source can't be used.

        Args:
            validation_fraction: share of the training images to hold out if the source has no validation
                split of its own, in [0, 1).
            workers: share the training images; each gets all of validation and test.
        """
        ...


@runtime_checkable
class StreamSource(Protocol):
    """A source that can be trained on while it is decoded."""

    def stream(self, *, workers: Workers, check: Callable[[Digits], Digits]) -> Stream:
        """Begin to decode the labeled digits, and return them as a stream.

        Args:
            workers: share the training images; each gets all of validation and test.
            check: checks the digits once all are decoded, and returns them.
        """
        ...


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How to read the sources of a run.

    Attributes:
        rejects: collects unusable images.
        cache_dir: folder for decoded images, to be reused by the next run and if they don't fit the memory.
            None to use the user's cache folder, only if they don't fit the memory.
        complete: whether a source must have training images of each of its classes, and test images.
            False for parts of a mixture, and if nothing is trained.
        data_dir: folder of prepared data for `tfds:`, local or gs://; TFDS's default if None.
        lists: whether this worker lists buckets itself, rather than the chief for it.
    """

    rejects: Rejects = dataclasses.field(default_factory=Rejects)
    cache_dir: str | os.PathLike[str] | None = None
    complete: bool = True
    data_dir: str | None = None
    lists: bool = True

    def cache(self) -> ShareCache:
        """Return the cache."""
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        return ShareCache(pathlib.Path(self.cache_dir or os.path.join(home, "digitmill")))


class DecodedBatch(NamedTuple):
    """Some decoded images.

    Attributes:
        positions: int64[N], each image's position in the source.
        names: each image's name, for messages.
        labels: int[N], 0 to 9 or `NOT_A_DIGIT`; images with other labels are rejected.
        decoded: digits and errors.
        parts: uint8[N], the index in `PARTS` of each image's split; None to split by a hash of the pixels.
    """

    positions: np.ndarray
    names: Sequence[str]
    labels: np.ndarray
    decoded: DigitBatch
    parts: np.ndarray | None = None


Decode = Callable[[Any], DecodedBatch]


def round_robin(positions: np.ndarray, workers: int) -> np.ndarray:
    """Return the worker that reads each image."""
    return positions % workers


@dataclasses.dataclass(frozen=True)
class ReadPlan:
    """The images of a source.

    Attributes:
        name: the `--data` value.
        images: approximate number of images.
        made_from: what the images depend on, hashed to the cache's key; None for no cache.
        chunks: yields the images of a shard in order, some at a time; all images for shard (0, 1).
        decoder: opens what decodes a chunk, given the number of processes that do so at once; a picklable
            one. None if chunks are `DecodedBatch` already.
        owners: from positions int64[N] and a number of workers to the worker that reads each image.
        description: what is read, for messages; empty for the number of images.
    """

    name: str
    images: int
    made_from: Iterable[object] | None
    chunks: Callable[[Shard], Iterator[Any]]
    decoder: Callable[[int], contextlib.AbstractContextManager[Decode]] | None = None
    owners: Callable[[np.ndarray, int], np.ndarray] = round_robin
    description: str = ""


def read(plan: ReadPlan, *, reading: ReadOptions, workers: Workers = ALONE) -> Digits:
    """Read a source's images; raise UserError if the images, or too many of them, can't be used.

    Every worker keeps its share of the training images, and all of validation and test. An image's split is
    known only after decoding, so workers then exchange the held-out images.
    """
    keeps, reads = _shards(workers)
    return _digits(plan, _share(plan, reading, keeps=keeps, reads=reads), reading=reading, workers=workers)


def stream(
    plan: ReadPlan,
    *,
    reading: ReadOptions,
    workers: Workers,
    epoch_images: int,
    check: Callable[[Digits], Digits],
) -> Stream:
    """Begin to read a source's images as a stream, which ends with the same digits as `read`.

    Args:
        plan: the images; its `made_from` must not be None.
        reading: how to read them.
        workers: share the training images.
        epoch_images: this worker's training images in an epoch, estimated.
        check: checks the digits once all are decoded, and returns them.
    """
    keeps, reads = _shards(workers)
    return Stream(
        plan.name,
        epoch_images=epoch_images,
        identity=_key(plan, keeps, reads),
        fill=lambda watch: _share(plan, reading, keeps=keeps, reads=reads, watch=watch),
        finish=lambda share: check(_digits(plan, share, reading=reading, workers=workers)),
    )


def _shards(workers: Workers) -> tuple[Shard, Shard]:
    """Return what this worker keeps and what it reads."""
    shard = (workers.index, workers.count)
    if not 0 <= workers.index < workers.count:
        raise ValueError(f"invalid shard: {shard}; the worker's index must be in [0, workers)")
    return shard, shard if workers.exchange is not None else (0, 1)


def _digits(plan: ReadPlan, share: Share, *, reading: ReadOptions, workers: Workers) -> Digits:
    """Return a worker's digits, with the held-out ones of all workers; report the rejects of all."""
    if workers.count > 1 and workers.exchange is not None:
        share = merge(share, workers.exchange, files=reading.cache().file_for)
    reading.rejects.report(share.rejects, images=share.seen, source=plan.name, quiet=workers.index > 0)
    splits = {part: Split(rows.images, rows.labels) for part, rows in share.parts.items()}
    splits["train"] = dataclasses.replace(splits["train"], digest=share.train_digest)
    validation = splits["validation"] if len(splits["validation"]) else None
    return Digits(plan.name, splits["train"], validation, splits["test"], all_train=share.all_train)


def pixel_hashes(images: np.ndarray) -> np.ndarray:
    """Return a hash of each image's pixels, float64[N] in [0, 1); it determines the image's split."""
    heads = (hashlib.sha256(image.tobytes()).digest()[:6] for image in images)
    return np.fromiter((int.from_bytes(head) / 2**48 for head in heads), np.float64, len(images))


def _unwatched(writer: ShareWriter) -> None:
    del writer


def _share(
    plan: ReadPlan, reading: ReadOptions, *, keeps: Shard, reads: Shard, watch: Watch = _unwatched
) -> Share:
    """Return this worker's share: from the cache, or decoded into memory or the cache."""
    most = -(-plan.images // reads[1])
    fits = fits_memory(most)
    cached = plan.made_from is not None and (reading.cache_dir is not None or not fits)
    cache, key = reading.cache(), _key(plan, keeps, reads)
    found = cache.get(key) if cached else None
    if keeps[0] == 0:
        how = "reading" if found is None else f"taking from {cache.folder / key}"
        print(f"{plan.name}: {how} {plan.description or counted(plan.images, 'image')}", flush=True)
    if found is not None:
        return found
    fill = functools.partial(_fill, plan, keeps=keeps, reads=reads, watch=watch)
    if cached:
        return cache.create(key, images=most, fill=fill)
    writer = ShareWriter()
    fill(writer)
    return writer.finish()


def _key(plan: ReadPlan, keeps: Shard, reads: Shard) -> str:
    digest = hashlib.sha256(repr((_FORMAT, PREPROCESSING_VERSION, keeps, reads)).encode())
    for made_from in plan.made_from or ():
        digest.update(repr(made_from).encode() + b"\n")
    return digest.hexdigest()[:40]


def _fill(plan: ReadPlan, writer: ShareWriter, *, keeps: Shard, reads: Shard, watch: Watch) -> None:
    chunks = plan.chunks(reads)
    pieces: Generator[Share]
    if plan.decoder is None:
        pieces = (_prepare(batch, owners=plan.owners, keeps=keeps) for batch in chunks)
    else:
        opened = functools.partial(_preparation, decoder=plan.decoder, owners=plan.owners, keeps=keeps)
        pieces = decode_all(opened, chunks, images=plan.images // reads[1])
    shown = keeps[0] == 0 and shows_bar()
    bar = progress_bar(total=-(-plan.images // reads[1]), unit=" images", desc="reading", disable=not shown)
    with contextlib.closing(pieces), bar:
        for piece in pieces:
            writer.add(piece)
            watch(writer)
            bar.update(piece.seen)


@contextlib.contextmanager
def _preparation(
    processes: int,
    *,
    decoder: Callable[[int], contextlib.AbstractContextManager[Decode]],
    owners: Callable[[np.ndarray, int], np.ndarray],
    keeps: Shard,
) -> Iterator[Callable[[Any], Share]]:
    with decoder(processes) as decode:
        yield lambda chunk: _prepare(decode(chunk), owners=owners, keeps=keeps)


def _prepare(batch: DecodedBatch, *, owners: Callable[[np.ndarray, int], np.ndarray], keeps: Shard) -> Share:
    """Return the part of a decoded batch that belongs to a worker's share."""
    index, workers = keeps
    errors = _errors(batch)
    good = np.array([error is None for error in errors], bool)
    rows = Rows(batch.decoded.digits, batch.labels, batch.positions).take(good)
    if batch.parts is None:
        splits = np.digitize(pixel_hashes(rows.images), (TRAIN_SHARE, TRAIN_SHARE + VALIDATION_SHARE))
    else:
        splits = batch.parts[good]
    train = rows.take(splits == 0)
    others = (splits == 0) & (owners(rows.positions, workers) != index)
    rejects = zip(batch.names, batch.labels.tolist(), errors, strict=True)
    return Share(
        {part: rows.take((splits == number) & ~others) for number, part in enumerate(PARTS)},
        rejects=[(name, error) for name, label, error in rejects if error and not _is_expected(error, label)],
        seen=len(errors),
        all_train=SplitSummary.of(Split(train.images, train.labels.astype(np.uint8))),
    )


def _errors(batch: DecodedBatch) -> list[ImageError | None]:
    errors = list(batch.decoded.errors)
    for slot in np.flatnonzero((batch.labels < 0) | (batch.labels > NOT_A_DIGIT)):
        errors[slot] = errors[slot] or refused_label(batch.labels[slot])
    return errors


def refused_label(label: int) -> ImageError:
    """Return the error of an image whose label cannot be trained on."""
    return ImageError(FailureCode.UNSUPPORTED, f"its label {label} is not a digit")


def _is_expected(error: ImageError, label: int) -> bool:
    """Whether an image that is left out is as its label says: blank, and no digit."""
    return label == NOT_A_DIGIT and error.code == FailureCode.BLANK
