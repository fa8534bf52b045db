"""Several sources as one: `--data SOURCE@WEIGHT` given more than once."""

import dataclasses
import hashlib
import json
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np

from schemas.digit import SIDE
from trainer.data.exchange import Exchange
from trainer.data.reading import Reading, Shard
from trainer.data.share import fits_memory
from trainer.data.source import Source
from trainer.data.sources.folder import check_enough
from trainer.data.splits import Census, Digits, Split


class MixedSource:
    """Sources whose training images count with different weights.

    Validation and test are those of all sources together, each image of them counting alike. A
    training image that some source holds out is left out of training, so that no source's test is
    another's lesson.

    Args:
        sources: the sources.
        weights: how much a training image of each counts, positive; only their ratios matter.
        reading: where images go that do not fit the memory.
    """

    def __init__(self, sources: Sequence[Source], weights: Sequence[float], *, reading: Reading) -> None:
        self._sources = sources
        self._weights = weights
        self._reading = reading

    def read(
        self, *, validation_fraction: float, shard: Shard = (0, 1), exchange: Exchange | None = None
    ) -> Digits:
        """Reads every source.

        Without an exchange the census counts what was left out along, when several workers read.
        """
        read = [
            source.read(validation_fraction=validation_fraction, shard=shard, exchange=exchange)
            for source in self._sources
        ]
        mixed = mix(read, self._weights, reading=self._reading, quiet=shard[0] > 0)
        mixed = self._counted(mixed, shard=shard, exchange=exchange)
        if self._reading.complete:
            check_enough(mixed, labels=_labels(mixed))
        return mixed

    def _counted(self, mixed: Digits, *, shard: Shard, exchange: Exchange | None) -> Digits:
        if shard[1] == 1:
            return dataclasses.replace(mixed, all_train=Census.of(mixed.train))
        if exchange is None:
            # What other workers left out is not known here.
            return mixed
        told = exchange(json.dumps(dataclasses.astuple(Census.of(mixed.train))).encode())
        parts = [Census(tuple(counts), content) for counts, content in map(json.loads, told)]
        return dataclasses.replace(mixed, all_train=sum(parts, start=Census.nothing()))


def _labels(digits: Digits) -> list[str]:
    """Returns the labels that there are images of."""
    counts = zip(*(found.class_counts for found in digits.census().values()), strict=True)
    return [str(label) for label, images in enumerate(counts) if any(images)]


def mix(
    sources: Sequence[Digits], weights: Sequence[float], *, reading: Reading, quiet: bool = False
) -> Digits:
    """Returns the digits of several sources as those of one.

    Args:
        sources: at least one.
        weights: how much a training image of each counts, positive.
        reading: where images go that do not fit the memory.
        quiet: whether another worker prints.
    """
    held_out = _hashes(
        [split for one in sources for split in (one.validation, one.test) if split is not None]
    )
    trains = [_without(one, held_out, quiet=quiet) for one in sources]
    images = [one.all_train.images if one.all_train else len(one.train) for one in sources]
    # Of mean 1 over all images, so that a mixture trains at the same rate as its parts.
    mean = float(np.dot(images, weights)) / max(1, sum(images))
    weighed = [
        dataclasses.replace(train, weights=np.full(len(train), weight / mean, np.float32))
        for train, weight in zip(trains, weights, strict=True)
    ]
    validations = [one.validation for one in sources if one.validation is not None]
    return Digits(
        name=" ".join(f"{one.name}@{weight:g}" for one, weight in zip(sources, weights, strict=True)),
        train=_together(weighed, reading),
        validation=_together(validations, reading) if validations else None,
        test=_together([one.test for one in sources], reading),
        all_train=sum((one.all_train or Census.of(one.train) for one in sources), start=Census.nothing()),
    )


def _hashes(splits: Sequence[Split]) -> set[bytes]:
    return {_hash(image) for split in splits for image in split.images}


def _hash(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _without(digits: Digits, held_out: set[bytes], *, quiet: bool) -> Split:
    leaked = np.fromiter((_hash(image) in held_out for image in digits.train.images), bool, len(digits.train))
    if not leaked.any():
        return digits.train
    if not quiet:
        print(
            f"{digits.name}: {int(leaked.sum()):,} training images are left out: "
            "they are held out for validation or test by a source of the mixture",
            flush=True,
        )
    return digits.train.take(~leaked)


def _together(splits: Sequence[Split], reading: Reading) -> Split:
    weights = None
    if splits[0].weights is not None:
        weights = np.concatenate([split.weights for split in splits if split.weights is not None])
    labels = np.concatenate([split.labels for split in splits])
    return Split(_joined([split.images for split in splits], reading), labels, weights)


def _joined(parts: Sequence[np.ndarray], reading: Reading) -> np.ndarray:
    """Returns the images one behind the other, in memory if they fit, else in a file without a name."""
    images = sum(len(part) for part in parts)
    if fits_memory(images):
        return np.concatenate(parts)
    folder = pathlib.Path(reading.cache().folder)
    folder.mkdir(parents=True, exist_ok=True)
    # The file is gone with the array: a mixture is quickly joined from its sources' own cache.
    with tempfile.TemporaryFile(dir=folder) as file:
        for part in parts:
            np.ascontiguousarray(part).tofile(file)
        file.flush()
        return np.memmap(file, np.uint8, mode="r", shape=(images, SIDE, SIDE))
