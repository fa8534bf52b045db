"""Mixes several sources: `--data SOURCE@WEIGHT`, given more than once."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Final

import numpy as np

from trainer.data.reading import ALONE, ReadOptions, Source, Workers
from trainer.data.share import map_column
from trainer.data.sources.folder import check_split_coverage
from trainer.data.splits import Digits, Split, SplitSummary

_ROWS: Final = 65_536
"""Images that are copied at once."""


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
    parts = [SplitSummary.from_json(json.loads(each)) for each in received]
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
    kept = [_without(one, held_out, quiet=quiet) for one in sources]
    images = [one.all_train.images if one.all_train else len(one.train) for one in sources]
    # Scaled to a mean of 1 over all images, which keeps the learning rate meaningful.
    mean = float(np.dot(images, weights)) / max(1, sum(images))
    train = _concatenate([one.train for one in sources], reading, kept=kept)
    factors = [
        np.full(int(which.sum()), weight / mean, np.float32)
        for which, weight in zip(kept, weights, strict=True)
    ]
    validations = [one.validation for one in sources]
    return Digits(
        name=" ".join(f"{one.name}@{weight:g}" for one, weight in zip(sources, weights, strict=True)),
        train=dataclasses.replace(train, weights=np.concatenate(factors)),
        validation=_concatenate(validations, reading) if any(validations) else None,
        test=_concatenate([one.test for one in sources], reading),
        origins=tuple(found for one in sources for found in one.described()),
        all_train=sum(
            (one.all_train or SplitSummary.of(one.train) for one in sources), start=SplitSummary.empty()
        ),
    )


def _hash(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _without(digits: Digits, held_out: set[bytes], *, quiet: bool) -> np.ndarray:
    """Return which training images no source holds out, bool[N]."""
    leaked = np.fromiter((_hash(image) in held_out for image in digits.train.images), bool, len(digits.train))
    if leaked.any() and not quiet:
        print(
            f"{digits.name}: {int(leaked.sum()):,} training images are left out: "
            "another source of the mixture holds them out for validation or test",
            flush=True,
        )
    return ~leaked


def _concatenate(
    given: Sequence[Split | None], reading: ReadOptions, *, kept: Sequence[np.ndarray] | None = None
) -> Split:
    """Return the images of each source's split, of those that are kept, without weights."""
    present = [number for number, split in enumerate(given) if split is not None]
    splits = [split for split in given if split is not None]
    which = kept or [np.ones(len(split), bool) for split in splits]
    labels = np.concatenate([split.labels[rows] for split, rows in zip(splits, which, strict=True)])
    sources = np.repeat(np.array(present, np.uint16), [int(rows.sum()) for rows in which])
    # A file of its own, which vanishes with the array; concatenating the cached sources again is quick.
    with reading.cache().file_for(len(labels)) as file:
        for split, rows in zip(splits, which, strict=True):
            for start in range(0, len(split), _ROWS):
                chosen = rows[start : start + _ROWS]
                file.write(np.ascontiguousarray(split.images[start : start + _ROWS][chosen]).data)
        return Split(map_column(file, "images"), labels, sources=sources)
