"""Ink: gray pictures of what is written, uint8, 0 = paper, 255 = ink, cropped to it."""

import functools

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont


@functools.lru_cache(maxsize=64)  # each keeps a file open
def _opened(path: str, size: int) -> ImageFont.FreeTypeFont:
    # By path: FreeType then reads what it needs, a fraction of a large file. Characters need no shaping.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def draw_text(path: str, text: str, *, size: int) -> np.ndarray:
    """Return the ink of a text.

    Args:
        path: font file.
        text: what to write.
        size: pixels of an em.

    Raises:
        OSError: if the font can't be opened or drawn.
    """
    font = _opened(path, size)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    picture = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(picture).text((-left, -top), text, fill=255, font=font)
    return crop(np.asarray(picture))


def crop(ink: np.ndarray) -> np.ndarray:
    """Return ink without the paper around it; unchanged if there is no ink."""
    left, top, width, height = cv2.boundingRect(ink)
    return ink[top : top + height, left : left + width] if width else ink


def with_margin(ink: np.ndarray, margin: int) -> np.ndarray:
    """Return ink with that many pixels of paper around it."""
    return cv2.copyMakeBorder(ink, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)


def side_by_side(left: np.ndarray, right: np.ndarray, *, gap: int, margin: int) -> np.ndarray:
    """Return two pieces of ink in a row, centered on one line, with paper around them.

    Args:
        left: uint8[height, width].
        right: uint8[height, width].
        gap: pixels of paper between them; negative if they overlap.
        margin: pixels of paper around them.
    """
    height = max(len(left), len(right)) + 2 * margin
    second = max(margin, margin + left.shape[1] + gap)
    sheet = np.zeros((height, max(second + right.shape[1], margin + left.shape[1]) + margin), np.uint8)
    for ink, column in ((left, margin), (right, second)):
        top = (height - len(ink)) // 2
        place = sheet[top : top + len(ink), column : column + ink.shape[1]]
        np.maximum(place, ink, out=place)
    return sheet
