"""Formats numbers for people: thousands separators, and only significant digits."""

import decimal
import math
from typing import Final

from schemas.model.accuracy import percent

NO_BREAK: Final = "\N{NO-BREAK SPACE}"
"""Separates a number from its unit, to keep them on one line."""

NONE: Final = "–"
"""Text for a missing number."""

Cell = tuple[str, float | None]
"""A cell of a sortable table: its text and its sort key."""


def thousands(count: int | float) -> str:
    """Return a whole number: `1,234,567`."""
    return f"{count:,.0f}"


def compact(count: float) -> str:
    """Return a short form of a round number, for axes: `10,000`, `2 M`."""
    return f"{count / 1e6:g}{NO_BREAK}M" if count >= 1e6 else f"{count:,g}"


def share(value: float | None, decimals: int = 2) -> str:
    """Return a share in [0, 1] as a percentage, `98.18 %`; a dash for None."""
    if value is None:
        return NONE
    text = percent(value) if decimals == 2 else f"{100 * value:.{decimals}f} %"
    return text.replace(" ", NO_BREAK)


def count_cell(count: int | float) -> Cell:
    """Return the cell of a count."""
    return thousands(count), count


def share_cell(value: float | None, decimals: int = 2) -> Cell:
    """Return the cell of a share in [0, 1]; a dash for None."""
    return share(value, decimals), value


def fraction(value: float | None, digits: int = 3) -> str:
    """Return a number with a few significant digits and no exponent, `0.0234`; a dash for None."""
    if value is None:
        return NONE
    text = f"{value:.{digits}g}"
    return f"{decimal.Decimal(text):f}" if "e-" in text else text


def figure(value: float | None) -> str:
    """Return any figure: whole numbers with separators, others with four digits; `unknown` for None."""
    if value is None:
        return "unknown"
    return thousands(value) if value == int(value) else fraction(value, 4)


def threshold(value: float) -> str:
    """Return an accept threshold with as many digits as its distance to 1 needs.

    `0.9`, `0.9946`, `0.99975`: two digits beyond the nines, never rounded to 1.
    """
    if not 0 < value < 1:
        return f"{value:g}"
    places = min(7, 1 - math.floor(math.log10(1 - value) + 1e-9))
    return f"{value:.{places}f}".rstrip("0").rstrip(".")


def duration(seconds: float) -> str:
    """Return a time span in its two largest units: `2.3 s`, `4 min 12 s`, `1 h 5 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f}{NO_BREAK}s"
    whole = round(seconds)
    hours, minutes, left = whole // 3600, whole // 60 % 60, whole % 60
    larger, smaller = ((hours, "h"), (minutes, "min")) if hours else ((minutes, "min"), (left, "s"))
    return f"{larger[0]:,}{NO_BREAK}{larger[1]} {smaller[0]}{NO_BREAK}{smaller[1]}"


def money(amount: float) -> str:
    """Return an amount of money without currency: two decimals, or two significant digits below 0.1."""
    return f"{amount:,.2f}" if amount >= 0.1 or amount == 0 else fraction(amount, 2)


FILTERS: Final = {
    "thousands": thousands,
    "share": share,
    "figure": figure,
    "fraction": fraction,
    "threshold": threshold,
    "duration": duration,
    "money": money,
}
"""Jinja filters, by name."""
