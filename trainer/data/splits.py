"""Labelled digits in memory, and how images are held out of them."""

import dataclasses
import hashlib

import numpy as np

from schemas.digit import CLASSES, SIDE


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Labelled digits.

    Attributes:
        images: uint8[N, 28, 28] canonical digits.
        labels: uint8[N], in 0 to 9.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.images.shape != (len(self.labels), SIDE, SIDE) or self.images.dtype != np.uint8:
            got = f"{self.images.dtype}{self.images.shape}"
            raise ValueError(f"images are uint8[{len(self.labels)}, {SIDE}, {SIDE}]; got {got}")
        if self.labels.ndim != 1 or self.labels.dtype != np.uint8 or (self.labels >= CLASSES).any():
            raise ValueError(f"labels are uint8[N] in 0 to {CLASSES - 1}; got {self.labels!r}")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, which: np.ndarray) -> "Split":
        """Returns the digits that an index array or a mask selects."""
        return Split(self.images[which], self.labels[which])

    def class_counts(self) -> tuple[int, ...]:
        """Returns how many images each digit has, ten numbers."""
        return tuple(np.bincount(self.labels, minlength=CLASSES).tolist())


@dataclasses.dataclass(frozen=True, eq=False)
class Digits:
    """One source's labelled digits.

    Attributes:
        name: the `--data` value that names the source.
        train: what weights are fitted to.
        validation: what choices are made on; None where nothing is held out.
        test: looked at once, at the end.
    """

    name: str
    train: Split
    validation: Split | None
    test: Split

    def splits(self) -> dict[str, Split]:
        """Returns the splits that there are by name, in the order of use."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    @property
    def digest(self) -> str:
        """SHA-256 over the images and labels of every split, in order."""
        digest = hashlib.sha256()
        for name, split in self.splits().items():
            digest.update(f"{name} {len(split)}\n".encode())
            digest.update(np.ascontiguousarray(split.images).data)
            digest.update(np.ascontiguousarray(split.labels).data)
        return digest.hexdigest()


def hold_out(split: Split, fraction: float) -> tuple[Split, Split | None]:
    """Divides a split into what is trained on and what is held out for validation.

    Every class gives its share, to within one image, spread evenly over the order in which the
    images come. No seed takes part, so that runs with different seeds are judged by the same images.

    Args:
        split: the images to divide.
        fraction: share to hold out, in [0, 1).

    Returns:
        The rest and the held-out images, round(N * fraction) of them; None when there are none.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"a fraction to hold out is in [0, 1); got {fraction}")
    total = round(len(split) * fraction)
    if total == 0:
        return split, None
    # Integers: the n-th image in class order is held out where the running quota rises.
    quota = np.arange(len(split) + 1) * total // len(split)
    held_out = np.zeros(len(split), bool)
    held_out[np.argsort(split.labels, kind="stable")] = np.diff(quota) == 1
    return split.take(~held_out), split.take(held_out)
