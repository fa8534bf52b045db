"""Failures of images: a closed list of codes, and the row of a failed image."""

import dataclasses
import enum
from typing import Final

from schemas.columns import Record, column, columns_of


class FailureCode(enum.StrEnum):
    """Reason why an image has no prediction; every image has a prediction or exactly one code."""

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
        """Whether storage or machine are the reason, so that the same bytes may be scored another time."""
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
    # Mostly memory or a driver; the few images whose probabilities are not finite cost little to try again.
    FailureCode.ENGINE: True,
}
"""By code, whether `--since` takes the failure up again by default; the others need `--retry-failures`."""


@dataclasses.dataclass(frozen=True)
class Failure(Record):
    """Row of one image that was listed but not scored, in `failures.csv`."""

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
        """Return what records hold, all but `path`; `dataclasses.astuple` takes forty times as long."""
        return self.image, self.generation, self.code, self.detail

    def row(self, path: str) -> tuple[str, str, int, str, str]:
        """Return the values in the order of `COLUMNS`, with a path, which follows from the run's inputs."""
        return self.image, path, self.generation, self.code, self.detail


COLUMNS = columns_of(Failure)

ROWS_OF_A_FILE: Final = 262_144
"""Rows of a table of a run's failures: files are written and read whole, and take some 200 bytes a row."""

MAX_BYTES: Final = 32 * 2**20
"""Size from which a file is rejected without decoding, in bytes."""


class ImageError(Exception):
    """An image that cannot become a canonical digit; it does not affect other images.

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
