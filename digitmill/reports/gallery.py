"""Galleries: images of digits, each with its prediction and a note."""

import base64
import dataclasses
from collections.abc import Iterable

import cv2
import numpy as np


@dataclasses.dataclass(frozen=True)
class Link:
    """How a reader gets to a file: one of the two is empty.

    Attributes:
        href: what a browser opens.
        address: what it cannot open, for the reader to copy.
    """

    href: str = ""
    address: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """One image in a gallery.

    Attributes:
        png: base64; empty where there is nothing to show.
        heading: the prediction, a word.
        note: a few words more, such as the confidence.
        name: the image's whole name.
        alternative: text for readers who cannot see it.
        wrong: whether the prediction is.
        label: the true digit if it is known and differs; empty otherwise.
        link: to the image itself; None where it is not known.
        original: the image itself, small, a WebP in base64; empty where it shows no more than the digit.
        remedy: what to do about it, a sentence or two; empty where there is nothing to do.
    """

    png: str
    heading: str
    note: str
    name: str
    alternative: str
    wrong: bool = False
    label: str = ""
    link: Link | None = None
    original: str = ""
    remedy: str = ""

    @property
    def file(self) -> str:
        """The last part of the name."""
        return self.name.rstrip("/").rpartition("/")[2]


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Some pictures under a title, and one sentence about them."""

    title: str
    reading: str
    pictures: tuple[Picture, ...]


def by_digit(pictures: Iterable[tuple[int, Picture]]) -> list[tuple[int, list[Picture]]]:
    """Group pictures by the digits that they come with, sorted by digit."""
    grouped: dict[int, list[Picture]] = {}
    for digit, picture in pictures:
        grouped.setdefault(digit, []).append(picture)
    return sorted(grouped.items())


def inline_png(pixels: np.ndarray) -> str:
    """Return gray pixels, uint8[height, width], as a PNG in base64."""
    return base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()
