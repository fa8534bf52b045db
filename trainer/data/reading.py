"""Reads a source: its shard, into memory or a cache file, its parts divided, its losses reported.

The sources themselves only say what there is and decode it; all else is the same for each, and here.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from digitmill.imaging.batch import DigitBatch
from digitmill.imaging.canonical import PREPROCESSING_VERSION
from schemas.digit import CLASSES
from schemas.failure import FailureCode, ImageError
from trainer.data.exchange import Exchange, merged
from trainer.data.rejects import Rejects
from trainer.data.share import Rows, Share, ShareCache, ShareWriter, fits_memory
from trainer.data.splits import PARTS, Digits, Split

TRAIN_SHARE: Final = 0.8
VALIDATION_SHARE: Final = 0.1
"""Of images that come without parts of their own; the rest is for the test."""

_FORMAT: Final = 1
"""Version of what the cache holds."""

Shard = tuple[int, int]
"""A worker's number and how many there are."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """How the sources of a run are read.

    Attributes:
        rejects: takes the images that cannot be used.
        cache_dir: where decoded images are kept for the next run, and where those are that do not fit
            the memory; when None, the latter alone, in the user's own cache folder.
        complete: whether a source needs images to train each of its classes on, and some to test with;
            not where others are read along, nor where nothing is trained.
    """

    rejects: Rejects = dataclasses.field(default_factory=Rejects)
    cache_dir: str | None = None
    complete: bool = True

    def cache(self) -> ShareCache:
        """Returns the cache."""
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        return ShareCache(pathlib.Path(self.cache_dir or os.path.join(home, "digitmill")))


class Batch(NamedTuple):
    """Some images, decoded.

    Attributes:
        positions: int64[N], each image's place in the source.
        names: each image's name, for people.
        labels: int[N]; what is not in 0 to 9 is rejected.
        decoded: the digits and the errors.
        parts: uint8[N], each image's number in `PARTS`; None where its pixels decide.
    """

    positions: np.ndarray
    names: Sequence[str]
    labels: np.ndarray
    decoded: DigitBatch
    parts: np.ndarray | None = None


def by_turns(positions: np.ndarray, workers: int) -> np.ndarray:
    """Returns which worker reads each image: one after the other."""
    return positions % workers


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a source has to read.

    Attributes:
        name: the `--data` value.
        images: about how many images there are.
        made_from: what the images depend on, of which the cache's key is made; None for no cache.
        batches: yields the images of a shard in order; of (0, 1) all of them.
        owners: for the positions int64[N] and a number of workers, the worker that reads each.
        shown: what is read, for people; the number of images when empty.
    """

    name: str
    images: int
    made_from: Sequence[object] | None
    batches: Callable[[Shard], Iterator[Batch]]
    owners: Callable[[np.ndarray, int], np.ndarray] = by_turns
    shown: str = ""


def read(plan: Plan, *, reading: Reading, shard: Shard = (0, 1), exchange: Exchange | None = None) -> Digits:
    """Reads a source's images.

    Of several workers each keeps its share of the training images, and all of validation and test.
    Which part an image falls into is known only once it is decoded: with an `exchange` each worker
    decodes its own share and they give each other what is held out; without one each decodes all.

    Args:
        plan: the source's.
        reading: where images go, and where those that cannot be used.
        shard: this worker's.
        exchange: the workers' connection.

    Raises:
        UserError: when the images cannot be used, or too many of them cannot.
    """
    index, workers = shard
    if not 0 <= index < workers:
        raise ValueError(f"a shard is a worker's number, from 0, and how many there are; got {shard}")
    if workers == 1 or exchange is None:
        share = _share(plan, reading, keeps=shard, reads=(0, 1))
    else:
        share = merged(_share(plan, reading, keeps=shard, reads=shard), exchange)
    reading.rejects.report(share.rejects, images=share.seen, source=plan.name, quiet=index > 0)
    splits = {part: Split(rows.images, rows.labels) for part, rows in share.parts.items()}
    validation = splits["validation"] if len(splits["validation"]) else None
    return Digits(plan.name, splits["train"], validation, splits["test"], all_train=share.all_train)


def split_positions(images: np.ndarray) -> np.ndarray:
    """Returns each image's place in [0, 1), which decides its split: a hash of its pixels.

    Args:
        images: uint8[N, 28, 28] canonical digits.

    Returns:
        float64[N]; equal images have equal places, whatever else is in the source.
    """
    heads = (hashlib.sha256(image.tobytes()).digest()[:6] for image in images)
    return np.fromiter((int.from_bytes(head) / 2**48 for head in heads), np.float64, len(images))


def _by_pixels(images: np.ndarray) -> np.ndarray:
    return np.digitize(split_positions(images), (TRAIN_SHARE, TRAIN_SHARE + VALIDATION_SHARE))


def _share(plan: Plan, reading: Reading, *, keeps: Shard, reads: Shard) -> Share:
    """Returns what this worker reads: from the cache, or decoded into memory or into the cache."""
    most = -(-plan.images // reads[1])
    fits = fits_memory(most)
    cached = plan.made_from is not None and (reading.cache_dir is not None or not fits)
    cache, key = reading.cache(), _key(plan, keeps, reads)
    found = cache.get(key) if cached else None
    if keeps[0] == 0:
        how = "reading" if found is None else f"taking from {cache.folder / key}"
        print(f"{plan.name}: {how} {plan.shown or f'{plan.images:,} images'}", flush=True)
    if found is not None:
        return found
    if cached:
        return cache.make(key, images=most, fill=lambda writer: _fill(writer, plan, keeps=keeps, reads=reads))
    writer = ShareWriter()
    _fill(writer, plan, keeps=keeps, reads=reads)
    return writer.finish()


def _key(plan: Plan, keeps: Shard, reads: Shard) -> str:
    digest = hashlib.sha256(repr((_FORMAT, PREPROCESSING_VERSION, keeps, reads)).encode())
    for made_from in plan.made_from or ():
        digest.update(repr(made_from).encode() + b"\n")
    return digest.hexdigest()[:40]


def _fill(writer: ShareWriter, plan: Plan, *, keeps: Shard, reads: Shard) -> None:
    index, workers = keeps
    for batch in plan.batches(reads):
        errors = _errors(batch)
        good = np.array([error is None for error in errors], bool)
        writer.count(
            seen=len(errors),
            rejects=[(name, error) for name, error in zip(batch.names, errors, strict=True) if error],
        )
        rows = Rows(batch.decoded.digits, batch.labels, batch.positions).take(good)
        places = _by_pixels(rows.images) if batch.parts is None else batch.parts[good]
        writer.census(rows.take(places == 0))
        others = (places == 0) & (plan.owners(rows.positions, workers) != index)
        for number, part in enumerate(PARTS):
            writer.add(part, rows.take((places == number) & ~others))


def _errors(batch: Batch) -> list[ImageError | None]:
    errors = list(batch.decoded.errors)
    for slot in np.flatnonzero((batch.labels < 0) | (batch.labels >= CLASSES)):
        errors[slot] = errors[slot] or ImageError(
            FailureCode.UNSUPPORTED, f"its label {batch.labels[slot]} is no digit"
        )
    return errors
