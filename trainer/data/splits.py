"""Labelled digits, their splits, the choice of held-out images, and class weights."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Final, Self

import numpy as np

from schemas.digit import CLASSES, SIDE

PARTS: Final = ("train", "validation", "test")
"""Names of the splits; a part is also given as its index here."""

_HASH_BITS: Final = 256
_ROWS: Final = 65_536


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Labelled digits.

    Attributes:
        images: uint8[N, 28, 28] canonical digits; an `np.memmap` if they don't fit the memory.
        labels: uint8[N], in 0 to 9.
        weights: float32[N], non-negative weights in training; None for equal weights.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.images.shape != (len(self.labels), SIDE, SIDE) or self.images.dtype != np.uint8:
            got = f"{self.images.dtype}{self.images.shape}"
            raise ValueError(f"images must be uint8[{len(self.labels)}, {SIDE}, {SIDE}]; got {got}")
        if self.labels.ndim != 1 or self.labels.dtype != np.uint8 or (self.labels >= CLASSES).any():
            raise ValueError(f"labels must be uint8[N] in 0 to {CLASSES - 1}; got {self.labels!r}")
        if self.weights is not None:
            self._check_weights(self.weights)

    def _check_weights(self, weights: np.ndarray) -> None:
        if weights.shape != self.labels.shape or weights.dtype != np.float32:
            raise ValueError(f"weights must be float32[{len(self)}]; got {weights.dtype}{weights.shape}")
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise ValueError("weights must be finite and non-negative")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, which: np.ndarray | slice) -> "Split":
        """Return the digits that an index array, mask or slice selects."""
        weights = None if self.weights is None else self.weights[which]
        return Split(self.images[which], self.labels[which], weights)

    def class_counts(self) -> tuple[int, ...]:
        """Return the number of images of each digit."""
        return tuple(np.bincount(self.labels, minlength=CLASSES).tolist())


@dataclasses.dataclass(frozen=True)
class SplitSummary:
    """Counts and content hash of a split; summaries of its parts add up to its own.

    Attributes:
        class_counts: images per digit.
        content: sum of the hashes of all images with their labels, modulo 2**256, which doesn't depend on
            their order.
    """

    class_counts: tuple[int, ...]
    content: int

    @classmethod
    def of(cls, split: Split) -> Self:
        """Return the summary of a split."""
        return cls(split.class_counts(), _content(split))

    @classmethod
    def empty(cls) -> Self:
        """Return the summary of no images."""
        return cls((0,) * CLASSES, 0)

    def __add__(self, other: "SplitSummary") -> "SplitSummary":
        counts = (mine + theirs for mine, theirs in zip(self.class_counts, other.class_counts, strict=True))
        return SplitSummary(tuple(counts), (self.content + other.content) % 2**_HASH_BITS)

    @property
    def images(self) -> int:
        """Number of images."""
        return sum(self.class_counts)


def _content(split: Split) -> int:
    # Row by row: mapped images may not fit the memory.
    hashes = (
        hashlib.sha256(bytes((label,)) + image.tobytes()).digest()
        for image, label in zip(split.images, split.labels.tolist(), strict=True)
    )
    return sum(int.from_bytes(found) for found in hashes) % 2**_HASH_BITS


@dataclasses.dataclass(frozen=True, eq=False)
class Digits:
    """The labelled digits of a source.

    Attributes:
        name: the `--data` value.
        train: this worker's training images.
        validation: images on which choices are made; None if none are held out.
        test: images that are evaluated once, at the end.
        all_train: summary of all workers' training images; None if `train` has them all.
    """

    name: str
    train: Split
    validation: Split | None
    test: Split
    all_train: SplitSummary | None = None

    def splits(self) -> dict[str, Split]:
        """Return the splits by name, without a missing validation split."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    def summaries(self) -> Mapping[str, SplitSummary]:
        """Return the summary of each split over all workers, by name."""
        found = {name: SplitSummary.of(split) for name, split in self.splits().items() if name != PARTS[0]}
        return {PARTS[0]: self.all_train or SplitSummary.of(self.train), **found}

    def train_counts(self) -> tuple[int, ...]:
        """Return the number of training images of each digit, over all workers."""
        return self.all_train.class_counts if self.all_train else self.train.class_counts()

    @property
    def digest(self) -> str:
        """SHA-256 over the images and labels of all splits, whatever their order."""
        digest = hashlib.sha256()
        for name, found in self.summaries().items():
            digest.update(f"{name} {found.images} {found.content:064x}\n".encode())
        return digest.hexdigest()

    @property
    def train_digest(self) -> str:
        """SHA-256 over this worker's training images, labels and weights in order, to check on resume."""
        digest = hashlib.sha256()
        for start in range(0, len(self.train), _ROWS):
            # In chunks: mapped images may not fit the memory.
            digest.update(np.ascontiguousarray(self.train.images[start : start + _ROWS]).data)
        digest.update(np.ascontiguousarray(self.train.labels).data)
        if self.train.weights is not None:
            digest.update(np.ascontiguousarray(self.train.weights).data)
        return digest.hexdigest()


def held_out(labels: np.ndarray, fraction: float) -> np.ndarray:
    """Return which images to hold out for validation, bool[N], round(N * fraction) of them true.

    The same share of every class, to within one image, evenly spaced. Independent of the seed, so that
    all runs are judged by the same images.

    Args:
        labels: uint8[N].
        fraction: share to hold out, in [0, 1).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction must be in [0, 1); got {fraction}")
    total = round(len(labels) * fraction)
    out = np.zeros(len(labels), bool)
    if total:
        # In class order, an image is held out where the running quota rises.
        quota = np.arange(len(labels) + 1) * total // len(labels)
        out[np.argsort(labels, kind="stable")] = np.diff(quota) == 1
    return out


def balance(digits: Digits) -> Digits:
    """Return the digits with training weights that give every class the same total.

    A class's weight is inversely proportional to its number of images over all workers. It multiplies the
    weights of a mixture.
    """
    factors = balanced_weights(digits.train_counts())[digits.train.labels]
    given = digits.train.weights
    weights = factors if given is None else factors * given
    train = dataclasses.replace(digits.train, weights=weights.astype(np.float32))
    return dataclasses.replace(digits, train=train)


def balanced_weights(counts: tuple[int, ...]) -> np.ndarray:
    """Return float64[10]: images / (non-empty classes * images of the class); 0 for an empty class."""
    images = np.array(counts, np.float64)
    present = images > 0
    return np.divide(images.sum(), present.sum() * images, out=np.zeros(CLASSES), where=present)


def warn_about_empty_classes(digits: Digits) -> None:
    """Print the digits that have no training image, if there are any."""
    empty = [str(label) for label, count in enumerate(digits.train_counts()) if not count]
    if empty:
        print(
            f"warning: {digits.name} has no training image of {', '.join(empty)}, which the model will "
            "never predict; add images, or another source that has them",
            flush=True,
        )
