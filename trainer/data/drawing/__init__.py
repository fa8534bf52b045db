"""Draws training images: digits of the machine's fonts, and pictures that are no digit.

`font_families` finds and checks fonts, `ink` draws them, `photographs` simulates cameras and scanners, and
`not_digits` composes pictures that are not a single digit. Everything depends only on a generator's seed.
"""

__all__ = [
    "font_families",
    "ink",
    "not_digits",
    "photographs",
]
