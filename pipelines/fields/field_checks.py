"""Checks whether the value of a field is possible, and finds the likeliest possible one."""

import importlib
import math
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from schemas.errors import UserError

Check = Callable[[str], object]
"""Whether a value of digits is possible."""

_CHECKS: Final = {
    "luhn": "stdnum.luhn",
    "mod97": "stdnum.iso7064.mod_97_10",
    "verhoeff": "stdnum.verhoeff",
}
"""Modules whose `is_valid` checks; imported when a run names one."""

_LONGEST: Final = 256
"""Digits of a field for which another value is looked for at most: the time grows with their square."""

_REGEX: Final = "regex:"


class Reading(NamedTuple):
    """What the model read in one image: its two most probable digits and their probabilities."""

    digit: int
    confidence: float
    second_digit: int
    second_confidence: float


def field_check(given: str) -> Check:
    """Return the check named by --field-check.

    Raises:
        UserError: for an unknown check.
    """
    if given.startswith(_REGEX):
        try:
            return re.compile(given.removeprefix(_REGEX)).fullmatch
        except (re.error, OverflowError, RecursionError) as error:
            raise UserError(
                f"invalid --field-check ({error})", value=given, hint="correct the regular expression"
            ) from error
    if given not in _CHECKS:
        names = ", ".join(_CHECKS)
        raise UserError("unknown --field-check", value=given, hint=f"give one of {names}, or {_REGEX}PATTERN")
    return importlib.import_module(_CHECKS[given]).is_valid


def joint_confidence(readings: Sequence[Reading]) -> float:
    """Return the probability that all digits are right, if their errors are independent."""
    return math.prod(reading.confidence for reading in readings)


def likeliest_valid(readings: Sequence[Reading], check: Check) -> tuple[str, float] | None:
    """Return the likeliest valid value with one digit replaced by its second choice, and its confidence.

    Returns None if there is no such value, or if the field is longer than any amount or reading. Among
    equally likely values, the one that replaces the earliest digit wins.
    """
    if len(readings) > _LONGEST:
        return None
    best: tuple[str, float] | None = None
    for place, replaced in enumerate(readings):
        others = [*readings[:place], *readings[place + 1 :]]
        joint = joint_confidence(others) * replaced.second_confidence
        if best is not None and joint <= best[1]:
            continue
        digits = [str(reading.digit) for reading in readings]
        digits[place] = str(replaced.second_digit)
        value = "".join(digits)
        if check(value):
            best = value, joint
    return best
