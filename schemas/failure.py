"""Why an image has no prediction: a closed list of codes, each with one meaning."""

import dataclasses
import enum
from typing import Final

from schemas.columns import column, columns_of


class FailureCode(enum.StrEnum):
    """The closed list. An image is either predicted or has exactly one of these."""

    EMPTY = "EMPTY"
    CORRUPT = "CORRUPT"
    UNSUPPORTED = "UNSUPPORTED"
    TOO_LARGE = "TOO_LARGE"
    BLANK = "BLANK"
    CHANGED = "CHANGED"
    MISSING = "MISSING"
    DENIED = "DENIED"
    UNREADABLE = "UNREADABLE"
    ENGINE = "ENGINE"

    @property
    def meaning(self) -> str:
        """One sentence for people: what was found, seen from the image's owner."""
        return _MEANINGS[self]


_MEANINGS = {
    FailureCode.EMPTY: "The object holds no bytes.",
    FailureCode.CORRUPT: "The bytes begin like an image but do not decode: truncated or damaged.",
    FailureCode.UNSUPPORTED: "The bytes are not an image of a supported kind, whatever the name says.",
    FailureCode.TOO_LARGE: "More bytes or more pixels than the caps allow; it was not decoded.",
    FailureCode.BLANK: "The image decodes but holds no ink.",
    FailureCode.CHANGED: "The object was overwritten after it was listed.",
    FailureCode.MISSING: "The object was listed but is gone, or its link leads nowhere.",
    FailureCode.DENIED: "Permission to read the object was refused.",
    FailureCode.UNREADABLE: "The storage failed to deliver the object.",
    FailureCode.ENGINE: "The model could not score the image.",
}


@dataclasses.dataclass(frozen=True)
class Failure:
    """One image that was listed and could not be scored: a row of `failures.csv`."""

    image: str = column("URI of the image: file:// percent-encoded, gs:// as it is.", unique=True)
    generation: int = column("Version of the image that was listed: see the predictions.", minimum=0)
    code: str = column("Why there is no prediction.", choices=tuple(FailureCode))
    detail: str = column("What the reader, the decoder or the engine said.")

    def __post_init__(self) -> None:
        for described in COLUMNS:
            described.check(getattr(self, described.name))


COLUMNS = columns_of(Failure)


MAX_BYTES: Final = 32 * 2**20
"""Larger files are rejected unread by the decoder, bytes."""


class ImageError(Exception):
    """One image cannot become a canonical digit; its neighbours are not affected.

    Args:
        code: the failure's code.
        detail: what was found, one line, never empty.
    """

    def __init__(self, code: FailureCode, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = " ".join(detail.split())

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
