"""Draws training images: digits of the machine's fonts, and pictures that are no digit.

`font_families` finds and checks the fonts, `ink` draws them, `photographs` makes pictures of them as a camera
or scanner does, `not_digits` composes what is no single digit. Everything follows from a generator's seed.
"""

__all__ = [
    "font_families",
    "ink",
    "not_digits",
    "photographs",
]
