"""The labels file: what people say of images, written by the review page, read by training and scoring."""

from typing import Final

from schemas.digit import CLASSES

FILE: Final = "labels.csv"
"""The name under which the review page hands it out."""

UNREADABLE: Final = "unreadable"
"""The label of an image of which nobody can say which digit it shows; it is no truth and no lesson."""

MEANINGS: Final = {
    "path": "URI of the image.",
    "label": f"The true digit, or `{UNREADABLE}`.",
    "sha256": "Of the image's bytes, hexadecimal.",
    "generation": "Version of the image that was scored, as predictions have it.",
    "predicted": "What the model took it for.",
    "confidence": "How sure it was.",
    "pixels": "The canonical digit as a PNG in base64, only of images that training cannot find by their "
    "path: members of archives, and objects outside of `gs://`.",
}
"""What the review page writes, a line for each image that somebody looked at.

Whoever reads one needs `path` and `label` alone; a file made by hand has no more.
"""

COLUMNS: Final = tuple(MEANINGS)

_DIGITS: Final = {str(digit): digit for digit in range(CLASSES)}


def digit_of(label: str) -> int | None:
    """Returns the digit that a label names; None where it is empty or `UNREADABLE`.

    Raises:
        ValueError: when it is anything else.
    """
    text = label.strip()
    if text in ("", UNREADABLE):
        return None
    if text not in _DIGITS:
        raise ValueError(f"a label is a digit from 0 to {CLASSES - 1}, {UNREADABLE} or empty; got {label!r}")
    return _DIGITS[text]
