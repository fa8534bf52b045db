"""Describes failures in words: what happened, to how many images, and what to do about it."""

from typing import Final

from digitmill.reports.numbers import thousands
from schemas.failure import FailureCode

_SCORE_AGAIN: Final = "Score again with --since and this output."

_WORDS: Final = {
    FailureCode.EMPTY: (
        ("holds no bytes", "hold no bytes"),
        "Look at the job that writes them: it was stopped, or its disk was full.",
    ),
    FailureCode.CORRUPT: (
        ("is cut off or damaged", "are cut off or damaged"),
        "Copy or scan them again.",
    ),
    FailureCode.UNSUPPORTED: (
        ("is no image of a supported kind", "are no images of a supported kind"),
        "Convert them to PNG, or leave them out by --exclude.",
    ),
    FailureCode.TOO_LARGE: (
        ("is too large to be decoded", "are too large to be decoded"),
        "Cut out the digit, or scan at a lower resolution.",
    ),
    FailureCode.BLANK: (
        ("holds no ink", "hold no ink"),
        "Nothing to do where the field was left empty; otherwise check how the digit is cut out.",
    ),
    FailureCode.CHANGED: (
        ("was overwritten while the run went on", "were overwritten while the run went on"),
        f"{_SCORE_AGAIN} Let nothing write to the input meanwhile.",
    ),
    FailureCode.MISSING: (
        ("was gone when it was to be read", "were gone when they were to be read"),
        f"Look for what moves or deletes them. {_SCORE_AGAIN}",
    ),
    FailureCode.DENIED: (
        ("is forbidden to this account", "are forbidden to this account"),
        f"Give the account permission to read them. {_SCORE_AGAIN}",
    ),
    FailureCode.UNREADABLE: (
        ("was not delivered by the storage", "were not delivered by the storage"),
        f"{_SCORE_AGAIN} If they fail again, look at the storage.",
    ),
    FailureCode.ENGINE: (
        ("could not be scored by the model", "could not be scored by the model"),
        f"{_SCORE_AGAIN} If they fail again, choose another --engine.",
    ),
}
"""By code: the sentence for one image, the sentence for several, and the remedy."""


def sentence(code: FailureCode, count: int) -> str:
    """Return a sentence on how many images failed and why."""
    one, several = _WORDS[code][0]
    return f"1 image {one}." if count == 1 else f"{thousands(count)} images {several}."


def remedy(code: FailureCode) -> str:
    """Return what the images' owner can do."""
    return _WORDS[code][1]
