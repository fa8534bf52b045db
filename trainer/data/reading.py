"""Reads sources: sharding, splitting, caching and rejects, the same for all kinds of source.

A source describes its images in a `ReadPlan` and decodes them in batches; `read` does the rest.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np

from digitmill.imaging.batch import DigitBatch
from digitmill.imaging.canonical import PREPROCESSING_VERSION
from schemas.digit import CLASSES
from schemas.failure import FailureCode, ImageError
from trainer.data.rejects import Rejects
from trainer.data.share import Rows, Share, ShareCache, ShareWriter, fits_memory, merge
from trainer.data.splits import PARTS, Digits, Split

TRAIN_SHARE: Final = 0.8
VALIDATION_SHARE: Final = 0.1
"""Shares for sources without splits of their own; the rest is the test split."""

_FORMAT: Final = 1
"""Version of the cache's format."""

Shard = tuple[int, int]
"""A worker's index and the number of workers."""


@dataclasses.dataclass(frozen=True)
class Workers:
    """This worker among those that read a source together.

    Attributes:
        index: this worker's index.
        count: number of workers.
        exchange: sends this worker's bytes to all workers, and returns those of every worker, in order. With
            it, each decodes only its own share; without it, each decodes everything.
    """

    index: int = 0
    count: int = 1
    exchange: Callable[[bytes], Sequence[bytes]] | None = None


ALONE: Final = Workers()


class Source(Protocol):
    """A source of labelled digits. Constructors check what is quick to check; reading may take long."""

    def read(self, *, validation_fraction: float, workers: Workers = ALONE) -> Digits:
        """Return the labelled digits; raise UserError if the source can't be used.

        Args:
            validation_fraction: share of the training images to hold out if the source has no validation
                split of its own, in [0, 1).
            workers: share the training images; each gets all of validation and test.
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
    """

    rejects: Rejects = dataclasses.field(default_factory=Rejects)
    cache_dir: str | os.PathLike[str] | None = None
    complete: bool = True
    data_dir: str | None = None

    def cache(self) -> ShareCache:
        """Return the cache."""
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        return ShareCache(pathlib.Path(self.cache_dir or os.path.join(home, "digitmill")))


class DecodedBatch(NamedTuple):
    """Some decoded images.

    Attributes:
        positions: int64[N], each image's position in the source.
        names: each image's name, for messages.
        labels: int[N]; images with labels outside 0 to 9 are rejected.
        decoded: digits and errors.
        parts: uint8[N], the index in `PARTS` of each image's split; None to split by a hash of the pixels.
    """

    positions: np.ndarray
    names: Sequence[str]
    labels: np.ndarray
    decoded: DigitBatch
    parts: np.ndarray | None = None


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
        batches: yields the images of a shard in order; all images for shard (0, 1).
        owners: from positions int64[N] and a number of workers to the worker that reads each image.
        description: what is read, for messages; empty for the number of images.
    """

    name: str
    images: int
    made_from: Sequence[object] | None
    batches: Callable[[Shard], Iterator[DecodedBatch]]
    owners: Callable[[np.ndarray, int], np.ndarray] = round_robin
    description: str = ""


def read(plan: ReadPlan, *, reading: ReadOptions, workers: Workers = ALONE) -> Digits:
    """Read a source's images; raise UserError if the images, or too many of them, can't be used.

    Every worker keeps its share of the training images, and all of validation and test. The split of an
    image is known only once it is decoded, so that workers exchange the held-out images.
    """
    index, count, exchange = workers.index, workers.count, workers.exchange
    shard = (index, count)
    if not 0 <= index < count:
        raise ValueError(f"invalid shard: {shard}; the worker's index must be in [0, workers)")
    if count == 1 or exchange is None:
        share = _share(plan, reading, keeps=shard, reads=(0, 1))
    else:
        share = merge(_share(plan, reading, keeps=shard, reads=shard), exchange)
    reading.rejects.report(share.rejects, images=share.seen, source=plan.name, quiet=index > 0)
    splits = {part: Split(rows.images, rows.labels) for part, rows in share.parts.items()}
    validation = splits["validation"] if len(splits["validation"]) else None
    return Digits(plan.name, splits["train"], validation, splits["test"], all_train=share.all_train)


def pixel_hashes(images: np.ndarray) -> np.ndarray:
    """Return a hash of each image's pixels, float64[N] in [0, 1), which determines its split."""
    heads = (hashlib.sha256(image.tobytes()).digest()[:6] for image in images)
    return np.fromiter((int.from_bytes(head) / 2**48 for head in heads), np.float64, len(images))


def _share(plan: ReadPlan, reading: ReadOptions, *, keeps: Shard, reads: Shard) -> Share:
    """Return this worker's share: from the cache, or decoded into memory or the cache."""
    most = -(-plan.images // reads[1])
    fits = fits_memory(most)
    cached = plan.made_from is not None and (reading.cache_dir is not None or not fits)
    cache, key = reading.cache(), _key(plan, keeps, reads)
    found = cache.get(key) if cached else None
    if keeps[0] == 0:
        how = "reading" if found is None else f"taking from {cache.folder / key}"
        print(f"{plan.name}: {how} {plan.description or f'{plan.images:,} images'}", flush=True)
    if found is not None:
        return found
    if cached:
        return cache.create(
            key, images=most, fill=lambda writer: _fill(writer, plan, keeps=keeps, reads=reads)
        )
    writer = ShareWriter()
    _fill(writer, plan, keeps=keeps, reads=reads)
    return writer.finish()


def _key(plan: ReadPlan, keeps: Shard, reads: Shard) -> str:
    digest = hashlib.sha256(repr((_FORMAT, PREPROCESSING_VERSION, keeps, reads)).encode())
    for made_from in plan.made_from or ():
        digest.update(repr(made_from).encode() + b"\n")
    return digest.hexdigest()[:40]


def _fill(writer: ShareWriter, plan: ReadPlan, *, keeps: Shard, reads: Shard) -> None:
    index, workers = keeps
    for batch in plan.batches(reads):
        errors = _errors(batch)
        good = np.array([error is None for error in errors], bool)
        writer.count(
            seen=len(errors),
            rejects=[(name, error) for name, error in zip(batch.names, errors, strict=True) if error],
        )
        rows = Rows(batch.decoded.digits, batch.labels, batch.positions).take(good)
        if batch.parts is None:
            splits = np.digitize(pixel_hashes(rows.images), (TRAIN_SHARE, TRAIN_SHARE + VALIDATION_SHARE))
        else:
            splits = batch.parts[good]
        writer.add_to_summary(rows.take(splits == 0))
        others = (splits == 0) & (plan.owners(rows.positions, workers) != index)
        for number, part in enumerate(PARTS):
            writer.add(part, rows.take((splits == number) & ~others))


def _errors(batch: DecodedBatch) -> list[ImageError | None]:
    errors = list(batch.decoded.errors)
    for slot in np.flatnonzero((batch.labels < 0) | (batch.labels >= CLASSES)):
        errors[slot] = errors[slot] or ImageError(
            FailureCode.UNSUPPORTED, f"its label {batch.labels[slot]} is no digit"
        )
    return errors
