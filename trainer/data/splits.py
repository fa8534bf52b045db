"""Labeled digits, their splits, the choice of held-out images, and class weights."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np

from schemas.digit import CLASSES, NOT_A_DIGIT, SIDE
from schemas.errors import UserError
from schemas.model.data_source import DataSource

PARTS: Final = ("train", "validation", "test")
"""Names of the splits; a part is also given as its index here."""

_HASH_BITS: Final = 256
_ROWS: Final = 65_536


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Labeled digits.

    Attributes:
        images: uint8[N, 28, 28] canonical digits; an `np.memmap` if they don't fit the memory.
        labels: uint8[N], in 0 to 9, or `NOT_A_DIGIT`.
        weights: float32[N], non-negative weights in training; None for equal weights.
        digest: SHA-256 of images and labels, if it is known.
        sources: uint16[N], the index in `Digits.sources` of each image's source; None without a mixture.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None
    digest: str | None = None
    sources: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.images.shape != (len(self.labels), SIDE, SIDE) or self.images.dtype != np.uint8:
            got = f"{self.images.dtype}{self.images.shape}"
            raise ValueError(f"images must be uint8[{len(self.labels)}, {SIDE}, {SIDE}]; got {got}")
        if self.labels.ndim != 1 or self.labels.dtype != np.uint8 or (self.labels > NOT_A_DIGIT).any():
            raise ValueError(f"labels must be uint8[N] in 0 to {NOT_A_DIGIT}; got {self.labels!r}")
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
        weights, sources = (
            None if column is None else column[which] for column in (self.weights, self.sources)
        )
        return Split(self.images[which], self.labels[which], weights, sources=sources)

    def class_counts(self) -> tuple[int, ...]:
        """Return the number of images of each digit."""
        return tuple(np.bincount(self.labels, minlength=CLASSES)[:CLASSES].tolist())

    @property
    def not_digits(self) -> int:
        """Number of pictures that are no digit."""
        return int((self.labels == NOT_A_DIGIT).sum())


@dataclasses.dataclass(frozen=True)
class SplitSummary:
    """Counts and content hash of a split; summaries of its parts add up to its own.

    Attributes:
        class_counts: images per digit.
        content: sum of the hashes of all images with their labels, modulo 2**256, which doesn't depend on
            their order.
        not_digits: pictures that are no digit.
    """

    class_counts: tuple[int, ...]
    content: int
    not_digits: int = 0

    @classmethod
    def of(cls, split: Split) -> Self:
        """Return the summary of a split."""
        return cls(split.class_counts(), _content(split), split.not_digits)

    @classmethod
    def from_json(cls, fields: Sequence[Any]) -> Self:
        """Return the summary from the JSON of its `dataclasses.astuple`."""
        counts, *numbers = fields
        return cls(tuple(counts), *numbers)

    @classmethod
    def empty(cls) -> Self:
        """Return the summary of no images."""
        return cls((0,) * CLASSES, 0)

    def __add__(self, other: "SplitSummary") -> "SplitSummary":
        counts = (mine + theirs for mine, theirs in zip(self.class_counts, other.class_counts, strict=True))
        content = (self.content + other.content) % 2**_HASH_BITS
        return SplitSummary(tuple(counts), content, self.not_digits + other.not_digits)

    @property
    def images(self) -> int:
        """Number of images."""
        return sum(self.class_counts) + self.not_digits


def _content(split: Split) -> int:
    # Row by row: mapped images may not fit the memory.
    hashes = (
        hashlib.sha256(bytes((label,)) + image.tobytes()).digest()
        for image, label in zip(split.images, split.labels.tolist(), strict=True)
    )
    return sum(int.from_bytes(found) for found in hashes) % 2**_HASH_BITS


@dataclasses.dataclass(frozen=True, eq=False)
class Digits:
    """The labeled digits of a source.

    Attributes:
        name: the `--data` value.
        train: this worker's training images.
        validation: images on which choices are made; None if none are held out.
        test: images that are evaluated once, at the end.
        all_train: summary of all workers' training images; None if `train` has them all.
        origins: the sources of a mixture, or details about a single source; empty if only its name is known.
    """

    name: str
    train: Split
    validation: Split | None
    test: Split
    all_train: SplitSummary | None = None
    origins: tuple[DataSource, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of `origins`, indexed by `Split.sources`."""
        return tuple(origin.source for origin in self.origins)

    @property
    def epoch_images(self) -> int:
        """This worker's training images in an epoch."""
        return len(self.train)

    @property
    def identity(self) -> str:
        """A digest of this worker's training images, to check on resume."""
        return self.train_digest

    def whole(self) -> Self:
        """Return these digits; the counterpart of `Stream.whole`."""
        return self

    def splits(self) -> dict[str, Split]:
        """Return the splits by name, without a missing validation split."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    def summaries(self) -> Mapping[str, SplitSummary]:
        """Return the summary of each split over all workers, by name."""
        return self._summaries

    @functools.cached_property
    def _summaries(self) -> Mapping[str, SplitSummary]:
        # Once: it hashes every held-out image.
        found = {name: SplitSummary.of(split) for name, split in self.splits().items() if name != PARTS[0]}
        return {PARTS[0]: self.all_train or SplitSummary.of(self.train), **found}

    def described(self) -> tuple[DataSource, ...]:
        """Return the sources with what is known about them so far."""
        if self.origins:
            return self.origins
        whole = sum(self.summaries().values(), start=SplitSummary.empty())
        return (DataSource(self.name, whole.images, f"{whole.content:064x}"),)

    def train_counts(self) -> tuple[int, ...]:
        """Return the number of training images of each digit, over all workers."""
        return self.all_train.class_counts if self.all_train else self.train.class_counts()

    def train_not_digits(self) -> int:
        """Return the number of training pictures that are no digit, over all workers."""
        return self.all_train.not_digits if self.all_train else self.train.not_digits

    def train_images(self) -> int:
        """Return the number of training images, over all workers."""
        return sum(self.train_counts()) + self.train_not_digits()

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
        if self.train.digest is not None and self.train.weights is None:
            return self.train.digest
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

    A class's weight is inversely proportional to its number of images over all workers. Pictures that are no
    digit count as a class. The weight multiplies the weights of a mixture.
    """
    factors = balanced_weights((*digits.train_counts(), digits.train_not_digits()))[digits.train.labels]
    given = digits.train.weights
    weights = factors if given is None else factors * given
    train = dataclasses.replace(digits.train, weights=weights.astype(np.float32))
    return dataclasses.replace(digits, train=train)


def balanced_weights(counts: tuple[int, ...]) -> np.ndarray:
    """Return float64[N]: images / (non-empty classes * images of the class); 0 for an empty class."""
    images = np.array(counts, np.float64)
    present = images > 0
    return np.divide(images.sum(), present.sum() * images, out=np.zeros(len(counts)), where=present)


def with_usable_validation(digits: Digits) -> Digits:
    """Drop the validation images if none of them shows a digit, because nothing can be chosen on them."""
    if digits.validation is None or any(digits.validation.class_counts()):
        return digits
    return dataclasses.replace(digits, validation=None)


def warn_about_empty_classes(digits: Digits) -> None:
    """Print the digits that have no training image, if there are any."""
    empty = [str(label) for label, count in enumerate(digits.train_counts()) if not count]
    if empty:
        print(
            f"warning: {digits.name} has no training image of {', '.join(empty)}, which the model will "
            "never predict; add images, or another source that has them",
            flush=True,
        )


def evenly_spaced(count: int, most: int) -> np.ndarray:
    """Return at most `most` evenly spaced indices of `count` rows, including first and last, int64[N]."""
    return np.linspace(0, count - 1, min(most, count)).astype(np.int64)


def check_shares(digits: Digits, *, smallest: int, workers: int, least: float) -> None:
    """Raise UserError if the smallest share leaves too many images of other workers unused.

    Args:
        digits: this worker's digits.
        smallest: training images of the worker with the fewest; an epoch ends for all when they run out.
        workers: number of workers.
        least: share of all training images that an epoch must use, batches not counted.
    """
    used, total = smallest * workers, digits.train_images()
    if used < least * total:
        raise UserError(
            f"the workers' shares are too uneven: an epoch would use less than {least:.4g} of the training "
            "images (--min-used)",
            value=f"{used:,} of {total:,} images of {digits.name}",
            hint="train with fewer workers or more images, or lower --min-used",
        )
