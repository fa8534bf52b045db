"""Failures of images: a closed list of codes, and the row of a failed image."""

import dataclasses
import enum
from typing import Final

from schemas.columns import Record, column, columns_of


class FailureCode(enum.StrEnum):
    """Why an image has no prediction; every image has either a prediction or exactly one code."""

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
        """One sentence for the image's owner."""
        return _MEANINGS[self]

    @property
    def may_pass(self) -> bool:
        """Whether storage or the machine caused the failure, so that a later attempt may succeed."""
        return _MAY_PASS[self]


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

_MAY_PASS = {
    FailureCode.EMPTY: False,
    FailureCode.CORRUPT: False,
    FailureCode.UNSUPPORTED: False,
    FailureCode.TOO_LARGE: False,
    FailureCode.BLANK: False,
    FailureCode.CHANGED: True,
    FailureCode.MISSING: True,
    FailureCode.DENIED: True,
    FailureCode.UNREADABLE: True,
    # Mostly memory or a driver. The few images with non-finite probabilities cost little to retry.
    FailureCode.ENGINE: True,
}
"""Whether `--since` retries failures of a code by default; the others need `--retry-failures`."""


@dataclasses.dataclass(frozen=True)
class Failure(Record):
    """Row of `failures.csv`: one image that was listed but not scored."""

    image: str = column(
        "URI of the image: file:// percent-encoded, gs:// as it is; or of a folder, with / at its end.",
        unique=True,
    )
    path: str | None = column(
        "Its path relative to the input: see the predictions.", default=None, kw_only=True
    )
    generation: int = column("Version of the image that was listed: see the predictions.", minimum=0)
    code: str = column("Why there is no prediction.", choices=tuple(FailureCode))
    detail: str = column("Error message of the reader, the decoder or the engine.")

    def fields(self) -> tuple[str, int, str, str]:
        """Return all fields but `path`, as records hold them; 40 times faster than `dataclasses.astuple`."""
        return self.image, self.generation, self.code, self.detail

    def row(self, path: str) -> tuple[str, str, int, str, str]:
        """Return the values in the order of `COLUMNS`; `path` is the name relative to the run's inputs."""
        return self.image, path, self.generation, self.code, self.detail


COLUMNS = columns_of(Failure)

ROWS_OF_A_FILE: Final = 262_144
"""Maximum rows of one failure table, which is held in memory whole: about 200 bytes per row."""

MAX_BYTES: Final = 32 * 2**20
"""Files of at least this size, in bytes, are rejected without decoding."""


class ImageError(Exception):
    """An image cannot become a canonical digit; other images are not affected.

    Args:
        code: the failure's code.
        detail: what was found, in one line, not empty.
    """

    def __init__(self, code: FailureCode, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = " ".join(detail.split())

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
