"""Galleries: images of digits, each with its prediction and a note."""

import base64
import dataclasses
from collections.abc import Iterable

import cv2
import numpy as np


@dataclasses.dataclass(frozen=True)
class Link:
    """Link to a file, or its address to copy; the other one is empty.

    Attributes:
        href: URL that a browser can open.
        address: location that a browser cannot open, for the reader to copy.
    """

    href: str = ""
    address: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """One image in a gallery.

    Attributes:
        png: the digit, base64; empty if there is nothing to show.
        heading: the prediction, one word.
        note: a few more words, such as the confidence.
        name: the image's full name.
        alternative: text for readers who cannot see the picture.
        wrong: whether the prediction is wrong.
        label: the true digit if it is known and differs from the prediction, otherwise empty.
        link: link to the image file; None if unknown.
        original: thumbnail of the image file, a WebP in base64; empty if it shows no more than the digit.
        remedy: what to do about it, a sentence or two; empty if there is nothing to do.
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
    """Pictures under a title, with one sentence about them."""

    title: str
    reading: str
    pictures: tuple[Picture, ...]


def by_digit(pictures: Iterable[tuple[int, Picture]]) -> list[tuple[int, list[Picture]]]:
    """Group pictures by digit, sorted."""
    grouped: dict[int, list[Picture]] = {}
    for digit, picture in pictures:
        grouped.setdefault(digit, []).append(picture)
    return sorted(grouped.items())


def inline_png(pixels: np.ndarray) -> str:
    """Return grayscale pixels, uint8[height, width], as a PNG in base64."""
    return base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()
