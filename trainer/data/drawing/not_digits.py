"""Composes ink that is no single digit: letters, symbols, halves, pairs, crossed-out digits, scribbles.

Characters that can be read as digits are left out. Halves may still look like a digit, such as the upper half
of an 8, but are labeled as no digit.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Final

import cv2
import numpy as np
from scipy.interpolate import make_interp_spline

from schemas.digit import SIDE
from trainer.data.drawing.font_families import LETTERS, SYMBOLS, Design, Font
from trainer.data.drawing.ink import crop, draw_text, side_by_side
from trainer.data.drawing.photographs import photograph

_EM: Final = 96
"""Size at which digits and characters are drawn, pixels."""

_TRIES: Final = 20
"""Fonts that are looked at for a character."""

_STROKE: Final = 3.5
"""A stroke is this many times as long as thick, both as standard deviations."""

_SHEET: Final = 96
"""Side of a sheet of blank paper or a scribble, pixels."""


LOOKALIKES: Final = "letters like digits"
"""A kind that no training has, and that is measured apart: who reads them as digits is not wrong."""

_LIKE_DIGITS: Final = "OIlSZB"


@dataclasses.dataclass(frozen=True)
class Material:
    """Fonts and handwritten digits from which pictures are made.

    Attributes:
        designs: fonts.
        handwritten: uint8[N, 28, 28] canonical digits.
    """

    designs: Sequence[Design]
    handwritten: np.ndarray

    def font(self, rng: np.random.Generator) -> Font:
        """Return a random font, with every design equally likely."""
        design = self.designs[int(rng.integers(len(self.designs)))]
        return design[int(rng.integers(len(design)))]

    def digit(self, rng: np.random.Generator) -> np.ndarray:
        """Return the ink of a digit, from a font or handwritten, some 60 pixels high."""
        if rng.random() < 0.5:
            return draw_text(self.font(rng).path, str(rng.integers(10)), size=_EM)
        digit = crop(self.handwritten[rng.integers(len(self.handwritten))])
        return cv2.resize(digit, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)


def draw_not_digit(kind: str, material: Material, rng: np.random.Generator) -> np.ndarray:
    """Return a picture that is no single digit, uint8[height, width].

    Args:
        kind: a key of `KINDS`, or `LOOKALIKES`.
        material: what it is made from.
        rng: what is drawn from.
    """
    made = _lookalike(material, rng) if kind == LOOKALIKES else KINDS[kind](material, rng)
    if kind in _PICTURES:
        return made
    return photograph(made, round(math.exp(rng.uniform(math.log(12), math.log(72)))), rng)


def is_upright_stroke(digit: np.ndarray) -> bool:
    """Whether a canonical digit is one straight stroke, upright or slanted, which is read as 1.

    Halves of digits and remnants of frames can be.
    """
    moments = cv2.moments(digit)
    across, down, both = (moments[name] / moments["m00"] for name in ("mu20", "mu02", "mu11"))
    spread = math.hypot(across - down, 2 * both)
    longest, shortest = (across + down + spread) / 2, (across + down - spread) / 2
    return down > across and longest > _STROKE**2 * shortest


def _letter(material: Material, rng: np.random.Generator) -> np.ndarray:
    return _character(LETTERS, material, rng)


def _lookalike(material: Material, rng: np.random.Generator) -> np.ndarray:
    """Return a letter that reads as a digit, in a font that has letters."""
    designs = [design for design in material.designs if set(LETTERS) & set(design[0].characters)]
    font = Material(designs or material.designs, material.handwritten).font(rng)
    return draw_text(font.path, rng.choice(list(_LIKE_DIGITS)), size=_EM)


def _symbol(material: Material, rng: np.random.Generator) -> np.ndarray:
    return _character(SYMBOLS, material, rng)


def _character(wanted: str, material: Material, rng: np.random.Generator) -> np.ndarray:
    """Return one of some characters, in a font that has it; a scribble where fonts have digits alone."""
    for _ in range(_TRIES):
        character, font = wanted[rng.integers(len(wanted))], material.font(rng)
        if character in font.characters:
            return draw_text(font.path, character, size=_EM)
    return _scribble(material, rng)


def _half(material: Material, rng: np.random.Generator) -> np.ndarray:
    """Return the upper, lower, left or right half of a digit, cut straight and not quite level."""
    digit = material.digit(rng)
    height, width = digit.shape
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.integers(4) * math.pi / 2 + rng.uniform(-0.2, 0.2)
    kept = down * math.sin(angle) + across * math.cos(angle) > rng.uniform(-0.1, 0.1)
    return crop(np.where(kept, digit, 0).astype(np.uint8))


def _pair(material: Material, rng: np.random.Generator) -> np.ndarray:
    """Return two digits in a row, apart, touching or overlapping."""
    left, right = material.digit(rng), material.digit(rng)
    factor = rng.uniform(0.8, 1.25) * len(left) / len(right)
    right = cv2.resize(right, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    gap = round(rng.uniform(-0.12, 0.35) * min(left.shape[1], right.shape[1]))
    return side_by_side(left, right, gap=gap, margin=0)


def _crossed_out(material: Material, rng: np.random.Generator) -> np.ndarray:
    """Return a digit with a long slanted stroke, two or three, or a zigzag over it.

    Level strokes would be taken away as ruled lines.
    """
    digit = material.digit(rng)
    side = 3 * max(digit.shape)
    top, left = (side - digit.shape[0]) // 2, (side - digit.shape[1]) // 2
    sheet = np.zeros((side, side), np.uint8)
    sheet[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    thickness = max(2, round(side * rng.uniform(0.014, 0.034)))
    if rng.random() < 0.3:
        corners = rng.integers(5, 10)
        across = np.linspace(left, left + digit.shape[1], corners)
        down = np.where(np.arange(corners) % 2, top, top + digit.shape[0])
        points = np.stack([across, down], axis=1) + rng.normal(0, 0.02 * side, (corners, 2))
        cv2.polylines(sheet, [np.round(points).astype(np.int32)], False, 255, thickness, cv2.LINE_AA)
        return crop(sheet)
    slope = rng.uniform(math.radians(20), math.radians(65))
    strokes = 1 + int(rng.integers(3))
    # A single one reaches further: zeros with a slash are digits.
    reached = rng.uniform(0.55, 0.75) if strokes > 1 else rng.uniform(0.8, 1)
    for stroke in range(strokes):
        # The second one crosses the first.
        angle = (slope if stroke % 2 else -slope) + rng.normal(0, 0.1)
        middle = side / 2 + rng.normal(0, 0.02 * side, 2)
        reach = reached * math.hypot(*digit.shape) * np.array([math.cos(angle), math.sin(angle)])
        start, end = np.round([middle - reach, middle + reach]).astype(int).tolist()
        cv2.line(sheet, start, end, 255, thickness, cv2.LINE_AA)
    return crop(sheet)


def _scribble(material: Material, rng: np.random.Generator) -> np.ndarray:
    """Return a smooth curve through seven to fifteen random points: too long for a digit."""
    del material
    count = int(rng.integers(7, 16))
    knots = (
        rng.uniform(0.05, 0.95, (count, 2)) * _SHEET * np.array([rng.uniform(0.4, 1), rng.uniform(0.4, 1)])
    )
    points = make_interp_spline(np.arange(count), knots)(np.linspace(0, count - 1, 20 * count))
    sheet = np.zeros((2 * _SHEET, 2 * _SHEET), np.uint8)
    where = np.round(points + _SHEET / 2).astype(np.int32)
    cv2.polylines(sheet, [where], False, 255, int(rng.integers(2, 7)), cv2.LINE_AA)
    return crop(sheet)


def _noisy(material: Material, rng: np.random.Generator) -> np.ndarray:
    del material
    return noise(rng)


def _empty(material: Material, rng: np.random.Generator) -> np.ndarray:
    """Return blank paper, half of the time within the frame of a form's cell."""
    del material
    paper = blank_paper(rng)
    if rng.random() < 0.5:
        edges = rng.integers(2, 20, 4)
        level = int(paper.min() * rng.uniform(0.2, 0.8))
        corners = (int(edges[0]), int(edges[1])), (_SHEET - int(edges[2]), _SHEET - int(edges[3]))
        cv2.rectangle(paper, *corners, level, int(rng.integers(1, 5)), cv2.LINE_AA)
    return paper


def blank_paper(rng: np.random.Generator) -> np.ndarray:
    """Return grainy paper under uneven light, half of the time with a smudge, uint8[96, 96]."""
    rows, columns = np.linspace(-1, 1, _SHEET)[:, None], np.linspace(-1, 1, _SHEET)
    light = rng.uniform(-20, 20) * rows + rng.uniform(-20, 20) * columns
    paper = rng.uniform(170, 225) + light + rng.normal(0, rng.uniform(0, 5), (_SHEET, _SHEET))
    if rng.random() < 0.5:
        smudge = np.zeros((_SHEET, _SHEET))
        smudge[tuple(rng.integers(20, 76, 2))] = 1
        blurred = cv2.GaussianBlur(smudge, (0, 0), rng.uniform(3, 12))
        paper -= rng.uniform(10, 60) * blurred / blurred.max()
    return paper.clip(0, 255).astype(np.uint8)


def noise(rng: np.random.Generator) -> np.ndarray:
    """Return random gray levels, fine or coarse, half of them within a digit's box, uint8[28, 28]."""
    grain = rng.normal(0, 1, (SIDE, SIDE))
    coarse = rng.uniform(0, 3)
    blurred = cv2.GaussianBlur(grain, (0, 0), coarse) if coarse > 0.5 else grain
    level = 128 + 90 * (blurred / blurred.std() - rng.uniform(0, 1.5))
    picture = level.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        return picture
    return cv2.copyMakeBorder(picture[6:22, 6:22], 6, 6, 6, 6, cv2.BORDER_CONSTANT, value=0)


KINDS: Final[dict[str, Callable[[Material, np.random.Generator], np.ndarray]]] = {
    "letters": _letter,
    "symbols": _symbol,
    "halves": _half,
    "two digits": _pair,
    "crossed out": _crossed_out,
    "scribbles": _scribble,
    "noise": _noisy,
    "empty cells": _empty,
}
_PICTURES: Final = frozenset({"noise", "empty cells"})
"""Kinds that are pictures already, rather than ink."""
