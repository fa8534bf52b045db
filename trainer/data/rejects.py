"""Rejected images: reports unusable images, writes them to a file, and stops the job above a rate."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Final

from schemas.errors import UserError, counted
from schemas.failure import ImageError

FILE: Final = "rejects.csv"
"""Lists every rejected image, in the run folder; only a header if there is none."""

MAX_RATE: Final = 0.01
"""Default share of unusable images above which the job stops: the data is probably not what it seems."""

COLUMNS: Final = ("source", "image", "code", "detail")

_PRINTED: Final = 20
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

Reject = tuple[str, ImageError]
"""Name and error of an unusable image."""


class Rejects:
    """Collects the rejected images of a run's sources.

    Args:
        max_rate: greatest share of a source's images that may be unusable, in [0, 1].
        write: called with the text of `rejects.csv` after each source; None to write nothing.
    """

    def __init__(self, *, max_rate: float = MAX_RATE, write: Callable[[str], object] | None = None) -> None:
        self._max_rate = max_rate
        self._write = write
        self._rows: list[tuple[str, str, str, str]] = []

    def report(self, rejects: Sequence[Reject], *, images: int, source: str, quiet: bool = False) -> None:
        """Print the first twenty rejects of a source with their reasons, and write all to the file.

        Args:
            rejects: the unusable images.
            images: number of images, including the unusable ones.
            source: the `--data` value.
            quiet: whether to leave printing and writing to another worker.

        Raises:
            UserError: if they exceed the rate.
        """
        if not quiet:
            self._record(rejects, images=images, source=source)
        if len(rejects) > self._max_rate * images:
            raise UserError(
                f"more than {self._max_rate:.4g} of the images are unusable (--max-bad-rate)",
                value=f"{len(rejects)} of {images} in {source}",
                hint=f"repair or remove them; the first is {rejects[0][0]!r}: {rejects[0][1]}",
            )

    def _record(self, rejects: Sequence[Reject], *, images: int, source: str) -> None:
        self._rows += [(source, _safe(name), error.code, _safe(error.detail)) for name, error in rejects]
        if self._write is not None:
            self._write(self._text())
        for name, error in rejects[:_PRINTED]:
            print(f"  not usable: {name!r}: {error}")
        if len(rejects) > _PRINTED:
            print(f"  … and {len(rejects) - _PRINTED:,} more")
        if rejects:
            print(
                f"{source}: left out {len(rejects):,} of {counted(images, 'image')}, which cannot be used",
                flush=True,
            )

    def _text(self) -> str:
        text = io.StringIO()
        # With the default line ends: with others, the csv module doesn't quote a carriage return.
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows(self._rows)
        return text.getvalue()


def _safe(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula, with escapes for bytes that aren't UTF-8."""
    readable = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return f"./{readable}" if readable.startswith(_FORMULA) else readable
