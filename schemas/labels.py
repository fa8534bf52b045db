"""The labels file: true labels from reviewers, written by the review page, read by training and scoring."""

from typing import Final

from schemas.digit import CLASSES

FILE: Final = "labels.csv"
"""Name under which the review page saves it."""

UNREADABLE: Final = "unreadable"
"""Label of an image whose digit cannot be recognized; scoring and training ignore it."""

MEANINGS: Final = {
    "path": "URI of the image.",
    "label": f"The true digit, or `{UNREADABLE}`.",
    "sha256": "Of the image's bytes, hexadecimal.",
    "generation": "Version of the image that was scored, as predictions have it.",
    "predicted": "What the model took it for.",
    "confidence": "How sure it was.",
    "pixels": "The canonical digit as a PNG in base64, only of images that training cannot find by their "
    "path: members of archives, pages of files, and objects outside of `gs://`.",
}
"""Columns that the review page writes, and their meanings. Readers only need `path` and `label`."""

COLUMNS: Final = tuple(MEANINGS)

_DIGITS: Final = {str(digit): digit for digit in range(CLASSES)}


def digit_of(label: str) -> int | None:
    """Return the digit of a label; None if it is empty or `UNREADABLE`.

    Raises:
        ValueError: when it is anything else.
    """
    text = label.strip()
    if text in ("", UNREADABLE):
        return None
    if text not in _DIGITS:
        raise ValueError(f"label {label!r} is not a digit from 0 to {CLASSES - 1}, {UNREADABLE} or empty")
    return _DIGITS[text]
