"""The colors of pages and pictures, distinguishable for color-blind readers.

Blue, orange, green and crimson differ in lightness as well as in hue, so readers with red, green or blue
blindness can distinguish them, and so can readers of a grayscale print. Color is never the only mark.
"""

from typing import Final

LIGHT: Final = {
    "ink": "#1b2530",
    "soft": "#55616e",
    "paper": "#ffffff",
    "card": "#f3f5f7",
    "line": "#d3dae1",
    "accent": "#1f5c99",
    "second": "#cf6f14",
    "third": "#4b9b78",
    "fail": "#8f2440",
    "faint": "#c5d7e8",
}
"""Colors of picture files and light pages, by role."""

DARK: Final = {
    "ink": "#e5eaf0",
    "soft": "#a2aebb",
    "paper": "#12171d",
    "card": "#1b222b",
    "line": "#37424e",
    "accent": "#69b0ea",
    "second": "#f2a65c",
    "third": "#9bdcb4",
    "fail": "#e5687c",
    "faint": "#27445d",
}
"""Colors of dark pages, by role."""

INK, SOFT, PAPER, CARD, LINE = (LIGHT[role] for role in ("ink", "soft", "paper", "card", "line"))
ACCENT, SECOND, THIRD, FAIL, FAINT = (LIGHT[role] for role in ("accent", "second", "third", "fail", "faint"))

DEEP: Final = "#1e4f80"
"""Darker version of the accent color, for matrix cells with the highest values."""

SERIES: Final = (ACCENT, SECOND, THIRD, FAIL)
"""Colors of series side by side, in this order."""

VARIABLES: Final = {color: f"var(--{role})" for role, color in LIGHT.items()}
"""CSS variable of each color, so that one drawing serves files, light pages and dark pages."""


def blend(one: str, other: str, share: float) -> str:
    """Return the mix of two colors; a `share` of 0 gives the first, 1 the second."""
    pairs = zip(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]), strict=True)
    return f"#{bytes(round(a + (b - a) * share) for a, b in pairs).hex()}"


def stylesheet() -> str:
    """Return the CSS that sets a variable for each role in light, dark and print mode."""
    light, dark = (
        "".join(f"--{role}:{color};" for role, color in colors.items()) for colors in (LIGHT, DARK)
    )
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        "@media print{:root{color-scheme:light}}\n"
    )
