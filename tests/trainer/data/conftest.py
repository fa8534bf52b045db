import pathlib
from collections.abc import Callable

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

SEGMENTS = {  # left, bottom, right and top of each, of an em of 1,000
    "a": (100, 620, 500, 700),
    "b": (420, 350, 500, 700),
    "c": (420, 0, 500, 350),
    "d": (100, 0, 500, 80),
    "e": (100, 0, 180, 350),
    "f": (100, 350, 180, 700),
    "g": (100, 310, 500, 390),
}
DIGITS = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")


def make_font(
    path: pathlib.Path,
    family: str,
    *,
    digits=DIGITS,
    hollow=False,
    style="Regular",
    license_text="In the Public  domain.",
) -> pathlib.Path:
    """Write a font whose digits are segments, solid or as outlines."""
    names = [".notdef", *(f"digit{digit}" for digit in range(len(digits)))]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord("0") + digit: name for digit, name in enumerate(names[1:])})
    glyphs = {".notdef": TTGlyphPen(None).glyph()}
    for name, segments in zip(names[1:], digits, strict=True):
        pen = TTGlyphPen(None)
        for segment in segments:
            left, bottom, right, top = SEGMENTS[segment]
            rectangle(pen, [(left, bottom), (left, top), (right, top), (right, bottom)])
            if hollow:
                edge = 15
                rectangle(
                    pen,
                    [
                        (left + edge, bottom + edge),
                        (right - edge, bottom + edge),
                        (right - edge, top - edge),
                        (left + edge, top - edge),
                    ],
                )
        glyphs[name] = pen.glyph()
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(names, (600, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": style, "licenseDescription": license_text})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


def rectangle(pen: TTGlyphPen, corners) -> None:
    pen.moveTo(corners[0])
    for corner in corners[1:]:
        pen.lineTo(corner)
    pen.closePath()


@pytest.fixture
def segment_font() -> Callable[..., pathlib.Path]:
    return make_font
