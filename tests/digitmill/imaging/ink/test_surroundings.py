"""Digits within frames, panels, strips and margins come out as they do without, and tight crops whole."""

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from digitmill.imaging.canonical import canonicalize
from schemas.failure import FailureCode, ImageError

PAPER, INK = 225, 40


def cell(digit: np.ndarray) -> np.ndarray:
    """Ink of a digit with white around it, 0 = paper, 1 = ink, 110 pixels square."""
    return np.pad(cv2.resize(digit, (90, 90), interpolation=cv2.INTER_CUBIC), 10).astype(np.float32) / 255


def on_paper(ink: np.ndarray) -> np.ndarray:
    grain = np.random.default_rng(0).normal(0, 2, ink.shape)
    return (PAPER + (INK - PAPER) * ink + grain).clip(0, 255).astype(np.uint8)


def framed(ink: np.ndarray) -> np.ndarray:
    inner = cv2.copyMakeBorder(ink, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=1)
    return on_paper(cv2.copyMakeBorder(inner, 9, 6, 8, 5, cv2.BORDER_CONSTANT))


def broken_frame(ink: np.ndarray) -> np.ndarray:
    inner = cv2.copyMakeBorder(ink, 0, 4, 4, 0, cv2.BORDER_CONSTANT, value=1)
    inner[40:50, :4] = inner[-4:, 70:80] = 0
    return on_paper(cv2.copyMakeBorder(inner, 6, 6, 6, 6, cv2.BORDER_CONSTANT))


def strip(ink: np.ndarray) -> np.ndarray:
    return on_paper(cv2.copyMakeBorder(ink, 0, 0, 14, 0, cv2.BORDER_CONSTANT, value=1.1))


def strips(ink: np.ndarray) -> np.ndarray:
    return on_paper(cv2.copyMakeBorder(ink, 14, 0, 0, 14, cv2.BORDER_CONSTANT, value=1.1))


def window(ink: np.ndarray) -> np.ndarray:
    """A light digit on a dark panel within a light frame."""
    return 255 - on_paper(cv2.copyMakeBorder(ink, 9, 12, 8, 15, cv2.BORDER_CONSTANT, value=0.8))


def turned_margin(ink: np.ndarray) -> np.ndarray:
    """A slip that lay a little askew on a scanner's black lid."""
    height, width = ink.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 2, 0.85)
    return cv2.warpAffine(on_paper(ink), turn, (width, height), borderValue=10)


SURROUNDINGS = [framed, broken_frame, strip, strips, window, turned_margin]


@pytest.mark.parametrize("polarity", [0, 255])
@pytest.mark.parametrize("surround", SURROUNDINGS)
def test_what_surrounds_a_digit_is_left_out(digits: np.ndarray, surround: Callable, polarity: int) -> None:
    differences = []
    for digit in digits[::5]:
        ink = cell(digit)
        found = canonicalize(np.abs(polarity - surround(ink).astype(int)).astype(np.uint8))
        differences.append(np.abs(found.astype(int) - canonicalize(on_paper(ink))).mean())
    # A digit that lies a pixel further differs by some 20, one that is shrunk by what surrounds it by 40.
    assert np.mean(np.array(differences) < 30) >= 0.8


@pytest.mark.parametrize("surround", [framed, broken_frame, strip])
def test_surroundings_without_a_digit_are_blank(surround: Callable) -> None:
    with pytest.raises(ImageError) as caught:
        canonicalize(surround(np.zeros((110, 110), np.float32)))
    assert caught.value.code is FailureCode.BLANK


@pytest.mark.parametrize("side", [28, 32, 40])
def test_a_small_bitmap_cropped_tightly_loses_no_stroke(digits: np.ndarray, side: int) -> None:
    kept = []
    for digit in digits[::2]:
        left, top, width, height = cv2.boundingRect(digit)
        size = round(width * side / max(width, height)), round(height * side / max(width, height))
        crop = cv2.resize(digit[top : top + height, left : left + width], size, interpolation=cv2.INTER_CUBIC)
        found = canonicalize(np.where(crop > 127, 0, 255).astype(np.uint8))
        kept.append(np.abs(found.astype(int) - digit).mean() < 35)
    assert np.mean(kept) > 0.98


def in_small_cell(digit: np.ndarray, *, sides: str, blur: float = 0.7) -> np.ndarray:
    """A cell of 30 x 26 pixels whose lines run past one another; the digit stands on the lower one."""
    left, top, width, height = cv2.boundingRect(digit)
    ink = cv2.resize(digit[top : top + height, left : left + width], (12, 18), interpolation=cv2.INTER_AREA)
    sheet = np.zeros((30, 26), np.float32)
    sheet[9:27, 7:19] = ink / np.float32(255)
    for side, line in {
        "top": np.s_[2:4],
        "bottom": np.s_[26:28],
        "left": np.s_[:, 1:3],
        "right": np.s_[:, 22:24],
    }.items():
        if side in sides:
            sheet[line] = 1
    return on_paper(cv2.GaussianBlur(sheet, (0, 0), blur))


@pytest.mark.parametrize("sides", ["top bottom left right", "top bottom left", "bottom left right"])
def test_a_digit_that_touches_its_frame_is_cut_from_it(digits: np.ndarray, sides: str) -> None:
    alike = []
    for digit in digits[:20]:
        bare = canonicalize(in_small_cell(digit, sides="")).astype(float)
        found = canonicalize(in_small_cell(digit, sides=sides)).astype(float)
        alike.append(np.corrcoef(bare.ravel(), found.ravel())[0, 1])
    # Where the line was, its ink and the digit's cannot be told apart.
    assert np.median(alike) > 0.75


@pytest.mark.parametrize("segments", ["abcdef", "abdeg", "abcdg", "acdfg", "acdefg", "abcdfg"])
@pytest.mark.parametrize("margin", [3, 6])
def test_squared_digits_are_no_frames(segments: str, margin: int) -> None:
    """Seven segments, notched at the corners as they are: their sides are as straight as a frame's."""
    places = {
        "a": np.s_[:4, 2:-2],
        "b": np.s_[2:19, -4:],
        "c": np.s_[21:-2, -4:],
        "d": np.s_[-4:, 2:-2],
        "e": np.s_[21:-2, :4],
        "f": np.s_[2:19, :4],
        "g": np.s_[18:22, 2:-2],
    }
    ink = np.zeros((40, 24), np.float32)
    for segment in segments:
        ink[places[segment]] = 1
    found = canonicalize(on_paper(np.pad(ink, margin))).astype(float)
    bare = canonicalize(on_paper(np.pad(ink, 20))).astype(float)
    # A pixel further to a side is the same digit.
    near = (np.roll(bare, shift, axis=(0, 1)) for shift in itertools.product((-1, 0, 1), repeat=2))
    assert max(np.corrcoef(found.ravel(), each.ravel())[0, 1] for each in near) > 0.9
