"""The labels file: true labels from reviewers, written by the review page, read by training and scoring."""

from collections.abc import Mapping, Sequence
from typing import Final

from schemas.digit import CLASSES, NOT_A_DIGIT

FILE: Final = "labels.csv"
"""File name that the review page saves."""

UNREADABLE: Final = "unreadable"
"""Label of an image that is not a single digit, or whose digit cannot be recognized.

Models are trained to be unsure about such images; scoring treats them as unlabeled."""

NO_DIGIT: Final = "not_a_digit"
"""Label of an image that shows something else: a cross, a stain, an empty box."""

TWO_DIGITS: Final = "two_digits"
"""Label of an image that shows several digits instead of one."""

NOT_SINGLE: Final = (UNREADABLE, NO_DIGIT, TWO_DIGITS)
"""Labels of images without a single readable digit.

They inform people; training and scoring treat them alike."""

MEANINGS: Final = {
    "path": "URI of the image.",
    "label": f"The true digit, or `{UNREADABLE}`, `{NO_DIGIT}` or `{TWO_DIGITS}`.",
    "sha256": "Of the image's bytes, hexadecimal.",
    "generation": "Version of the image that was scored, as predictions have it.",
    "predicted": "What the model took it for.",
    "confidence": "How sure it was.",
    "reviewer": "Who labeled it, if the page knows.",
    "pixels": "The canonical digit as a PNG in base64, only of images that training cannot find by their "
    "path: members of archives, pages of files, and objects outside of `gs://`.",
}
"""Columns that the review page writes, and their meanings. Only `path` and `label` are required."""

COLUMNS: Final = tuple(MEANINGS)

CLASS_NUMBERS: Final = {str(digit): digit for digit in range(CLASSES)} | dict.fromkeys(
    NOT_SINGLE, NOT_A_DIGIT
)
"""Integer class of each label; labels are also folder names."""


def header_hint(header: Sequence[str], path: str) -> str:
    """Return the hint for a labels file whose header lacks the columns `path` and `label`."""
    line = "".join(header[:1])
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")):
        if len(header) == 1 and separator in line:
            return f"separate the columns of {path} by commas, not by {name}"
    return f"add the header path,label to {path}"


def named_image(line: Mapping[str, str | None]) -> str:
    """Return the image of a line: its `path`, or the URI in `image` if the file is a predictions table."""
    image = line.get("image") or ""
    return image if "://" in image else line.get("path") or image


def digit_of(label: str) -> int | None:
    """Return the digit of a label; None if it is empty or in `NOT_SINGLE`.

    Raises:
        ValueError: when it is anything else.
    """
    found = class_of(label)
    return None if found == NOT_A_DIGIT else found


def class_of(label: str) -> int | None:
    """Return the digit of a label, `NOT_A_DIGIT` for those in `NOT_SINGLE`; None if it is empty.

    Raises:
        ValueError: when it is anything else.
    """
    text = label.strip()
    if not text:
        return None
    if text not in CLASS_NUMBERS:
        raise ValueError(
            f"label {label!r} is not a digit from 0 to {CLASSES - 1}, nor {', '.join(NOT_SINGLE)}, nor empty"
        )
    return CLASS_NUMBERS[text]
