"""Mixes several sources: `--data SOURCE@WEIGHT`, given more than once."""

import dataclasses
import hashlib
import json
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np

from schemas.digit import SIDE
from trainer.data.reading import ALONE, ReadOptions, Source, Workers
from trainer.data.share import fits_memory
from trainer.data.sources.folder import check_split_coverage
from trainer.data.splits import Digits, Split, SplitSummary


class MixedSource:
    """Several sources with weighted training images.

    Validation and test splits are those of all sources together, unweighted. Training images that another
    source holds out are dropped, so that nothing is tested that was trained on.

    Args:
        sources: the sources.
        weights: weight of each source's training images, positive; only their ratios matter.
        reading: cache for images that don't fit the memory.
    """

    def __init__(self, sources: Sequence[Source], weights: Sequence[float], *, reading: ReadOptions) -> None:
        self._sources = sources
        self._weights = weights
        self._reading = reading

    def read(self, *, validation_fraction: float, workers: Workers = ALONE) -> Digits:
        """Read all sources.

        With several workers but no exchange, the summary of all training images includes dropped ones.
        """
        read = [
            source.read(validation_fraction=validation_fraction, workers=workers) for source in self._sources
        ]
        mixed = mix(read, self._weights, reading=self._reading, quiet=workers.index > 0)
        mixed = _with_summary(mixed, workers)
        if self._reading.complete:
            check_split_coverage(mixed, labels=_labels(mixed))
        return mixed


def _with_summary(mixed: Digits, workers: Workers) -> Digits:
    if workers.count == 1:
        return dataclasses.replace(mixed, all_train=SplitSummary.of(mixed.train))
    if workers.exchange is None:
        # What other workers dropped is unknown here.
        return mixed
    received = workers.exchange(json.dumps(dataclasses.astuple(SplitSummary.of(mixed.train))).encode())
    parts = [SplitSummary(tuple(counts), content) for counts, content in map(json.loads, received)]
    return dataclasses.replace(mixed, all_train=sum(parts, start=SplitSummary.empty()))


def _labels(digits: Digits) -> list[str]:
    """Return the labels that have images."""
    counts = zip(*(found.class_counts for found in digits.summaries().values()), strict=True)
    return [str(label) for label, images in enumerate(counts) if any(images)]


def mix(
    sources: Sequence[Digits], weights: Sequence[float], *, reading: ReadOptions, quiet: bool = False
) -> Digits:
    """Return the digits of several sources as one."""
    held = [split for one in sources for split in (one.validation, one.test) if split is not None]
    held_out = {_hash(image) for split in held for image in split.images}
    trains = [_without(one, held_out, quiet=quiet) for one in sources]
    images = [one.all_train.images if one.all_train else len(one.train) for one in sources]
    # Scaled to a mean of 1 over all images, which keeps the learning rate meaningful.
    mean = float(np.dot(images, weights)) / max(1, sum(images))
    weighted = [
        dataclasses.replace(train, weights=np.full(len(train), weight / mean, np.float32))
        for train, weight in zip(trains, weights, strict=True)
    ]
    validations = [one.validation for one in sources if one.validation is not None]
    return Digits(
        name=" ".join(f"{one.name}@{weight:g}" for one, weight in zip(sources, weights, strict=True)),
        train=_concatenate(weighted, reading),
        validation=_concatenate(validations, reading) if validations else None,
        test=_concatenate([one.test for one in sources], reading),
        all_train=sum(
            (one.all_train or SplitSummary.of(one.train) for one in sources), start=SplitSummary.empty()
        ),
    )


def _hash(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _without(digits: Digits, held_out: set[bytes], *, quiet: bool) -> Split:
    leaked = np.fromiter((_hash(image) in held_out for image in digits.train.images), bool, len(digits.train))
    if not leaked.any():
        return digits.train
    if not quiet:
        print(
            f"{digits.name}: {int(leaked.sum()):,} training images are left out: "
            "another source of the mixture holds them out for validation or test",
            flush=True,
        )
    return digits.train.take(~leaked)


def _concatenate(splits: Sequence[Split], reading: ReadOptions) -> Split:
    weights = None
    if splits[0].weights is not None:
        weights = np.concatenate([split.weights for split in splits if split.weights is not None])
    labels = np.concatenate([split.labels for split in splits])
    return Split(_concatenate_images([split.images for split in splits], reading), labels, weights)


def _concatenate_images(parts: Sequence[np.ndarray], reading: ReadOptions) -> np.ndarray:
    """Return all images as one array, in memory if they fit, else in an unnamed file."""
    images = sum(len(part) for part in parts)
    if fits_memory(images):
        return np.concatenate(parts)
    folder = pathlib.Path(reading.cache().folder)
    folder.mkdir(parents=True, exist_ok=True)
    # The file vanishes with the array; concatenating the cached sources again is quick.
    with tempfile.TemporaryFile(dir=folder) as file:
        for part in parts:
            np.ascontiguousarray(part).tofile(file)
        file.flush()
        return np.memmap(file, np.uint8, mode="r", shape=(images, SIDE, SIDE))
