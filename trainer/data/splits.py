"""Labelled digits, and how images are held out of them."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Final, Self

import numpy as np

from schemas.digit import CLASSES, SIDE

PARTS: Final = ("train", "validation", "test")
"""The splits' names, in the order of use; parts are also called by their number in it."""

_HASH_BITS: Final = 256
_ROWS: Final = 65_536


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Labelled digits.

    Attributes:
        images: uint8[N, 28, 28] canonical digits; an `np.memmap` where they do not fit the memory.
        labels: uint8[N], in 0 to 9.
        weights: float32[N], how much each image counts in training, none below zero; None for all alike.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.images.shape != (len(self.labels), SIDE, SIDE) or self.images.dtype != np.uint8:
            got = f"{self.images.dtype}{self.images.shape}"
            raise ValueError(f"images are uint8[{len(self.labels)}, {SIDE}, {SIDE}]; got {got}")
        if self.labels.ndim != 1 or self.labels.dtype != np.uint8 or (self.labels >= CLASSES).any():
            raise ValueError(f"labels are uint8[N] in 0 to {CLASSES - 1}; got {self.labels!r}")
        if self.weights is not None:
            self._check_weights(self.weights)

    def _check_weights(self, weights: np.ndarray) -> None:
        if weights.shape != self.labels.shape or weights.dtype != np.float32:
            raise ValueError(f"weights are float32[{len(self)}]; got {weights.dtype}{weights.shape}")
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise ValueError("weights are finite and not below zero")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, which: np.ndarray | slice) -> "Split":
        """Returns the digits that an index array, a mask or a slice selects."""
        weights = None if self.weights is None else self.weights[which]
        return Split(self.images[which], self.labels[which], weights)

    def class_counts(self) -> tuple[int, ...]:
        """Returns how many images each digit has, ten numbers."""
        return tuple(np.bincount(self.labels, minlength=CLASSES).tolist())


@dataclasses.dataclass(frozen=True)
class Census:
    """What is known of a split without having all of it.

    Attributes:
        class_counts: images per digit.
        content: sum of the hashes of every image with its label, modulo 2**256: the same in whatever
            order they come and over however many workers they are spread.
    """

    class_counts: tuple[int, ...]
    content: int

    @classmethod
    def of(cls, split: Split) -> Self:
        """Counts a split."""
        return cls(split.class_counts(), _content(split))

    @classmethod
    def nothing(cls) -> Self:
        """Counts no image."""
        return cls((0,) * CLASSES, 0)

    def __add__(self, other: "Census") -> "Census":
        counts = (mine + theirs for mine, theirs in zip(self.class_counts, other.class_counts, strict=True))
        return Census(tuple(counts), (self.content + other.content) % 2**_HASH_BITS)

    @property
    def images(self) -> int:
        """How many images there are."""
        return sum(self.class_counts)


def _content(split: Split) -> int:
    # Row by row, so that images on disk need not be in memory at once.
    hashes = (
        hashlib.sha256(bytes((label,)) + image.tobytes()).digest()
        for image, label in zip(split.images, split.labels.tolist(), strict=True)
    )
    return sum(int.from_bytes(found) for found in hashes) % 2**_HASH_BITS


@dataclasses.dataclass(frozen=True, eq=False)
class Digits:
    """One source's labelled digits.

    Attributes:
        name: the `--data` value that names the source.
        train: what weights are fitted to; this worker's share where several share the reading.
        validation: what choices are made on; None where nothing is held out.
        test: looked at once, at the end.
        all_train: the training images of all workers; None when `train` is all of them.
    """

    name: str
    train: Split
    validation: Split | None
    test: Split
    all_train: Census | None = None

    def splits(self) -> dict[str, Split]:
        """Returns the splits that there are by name, in the order of use."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    def census(self) -> Mapping[str, Census]:
        """Returns what each split holds over all workers, by name."""
        found = {name: Census.of(split) for name, split in self.splits().items() if name != PARTS[0]}
        return {PARTS[0]: self.all_train or Census.of(self.train), **found}

    def train_counts(self) -> tuple[int, ...]:
        """Returns how many training images each digit has over all workers, ten numbers."""
        return self.all_train.class_counts if self.all_train else self.train.class_counts()

    @property
    def digest(self) -> str:
        """SHA-256 over the images and labels of every split; their order within it does not matter."""
        digest = hashlib.sha256()
        for name, found in self.census().items():
            digest.update(f"{name} {found.images} {found.content:064x}\n".encode())
        return digest.hexdigest()

    @property
    def train_digest(self) -> str:
        """SHA-256 over this worker's training images, labels and weights in their order.

        What a resumed training must have in common with the one before, beside the seed.
        """
        digest = hashlib.sha256()
        for start in range(0, len(self.train), _ROWS):
            # Some rows at a time: images on disk need not be in memory at once.
            digest.update(np.ascontiguousarray(self.train.images[start : start + _ROWS]).data)
        digest.update(np.ascontiguousarray(self.train.labels).data)
        if self.train.weights is not None:
            digest.update(np.ascontiguousarray(self.train.weights).data)
        return digest.hexdigest()


def held_out(labels: np.ndarray, fraction: float) -> np.ndarray:
    """Returns which images are held out for validation.

    Every class gives its share, to within one image, spread evenly over the order in which the
    images come. No seed takes part, so that runs with different seeds are judged by the same images.

    Args:
        labels: uint8[N].
        fraction: share to hold out, in [0, 1).

    Returns:
        bool[N], round(N * fraction) of them true.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"a fraction to hold out is in [0, 1); got {fraction}")
    total = round(len(labels) * fraction)
    out = np.zeros(len(labels), bool)
    if total:
        # Integers: the n-th image in class order is held out where the running quota rises.
        quota = np.arange(len(labels) + 1) * total // len(labels)
        out[np.argsort(labels, kind="stable")] = np.diff(quota) == 1
    return out


def hold_out(split: Split, fraction: float) -> tuple[Split, Split | None]:
    """Divides a split into what is trained on and what is held out; see `held_out`.

    Returns:
        The rest and the held-out images; None when there are none.
    """
    out = held_out(split.labels, fraction)
    return (split.take(~out), split.take(out)) if out.any() else (split, None)
