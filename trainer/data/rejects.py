"""Images that cannot be trained on: named, counted, written down, and beyond a share fatal."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Final

from schemas.errors import UserError
from schemas.failure import ImageError

FILE: Final = "rejects.csv"
"""Every image that is left out, in the run folder; a header alone when there is none."""

MAX_RATE: Final = 0.01
"""Beyond this share of unusable images the data is not what it is taken for, and the job stops."""

COLUMNS: Final = ("source", "image", "code", "detail")

_NAMED: Final = 20
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

Reject = tuple[str, ImageError]
"""Name and error of an unusable image."""


class Rejects:
    """What the sources of a run could not use.

    Args:
        max_rate: greatest share of a source's images that may be unusable, in [0, 1].
        write: takes the text of `rejects.csv`, anew after each source; None to write none.
    """

    def __init__(self, *, max_rate: float = MAX_RATE, write: Callable[[str], object] | None = None) -> None:
        self._max_rate = max_rate
        self._write = write
        self._rows: list[tuple[str, str, str, str]] = []

    def report(self, rejects: Sequence[Reject], *, images: int, source: str, quiet: bool = False) -> None:
        """Says which images are left out and why: the first twenty by name, all in the file.

        Args:
            rejects: the unusable images.
            images: how many images there are, the unusable ones included.
            source: the `--data` value.
            quiet: whether another worker prints and writes.

        Raises:
            UserError: when they are more than the rate allows.
        """
        if not quiet:
            self._record(rejects, images=images, source=source)
        if len(rejects) > self._max_rate * images:
            raise UserError(
                f"at most {self._max_rate:.4g} of the images may be unusable (--max-bad-rate)",
                got=f"{len(rejects)} of {images} in {source}",
                remedy=f"mend or remove them; the first is {rejects[0][0]!r}: {rejects[0][1]}",
            )

    def _record(self, rejects: Sequence[Reject], *, images: int, source: str) -> None:
        self._rows += [(source, _safe(name), error.code, _safe(error.detail)) for name, error in rejects]
        if self._write is not None:
            self._write(self._text())
        for name, error in rejects[:_NAMED]:
            print(f"  not usable: {name!r}: {error}")
        if len(rejects) > _NAMED:
            print(f"  … and {len(rejects) - _NAMED:,} more")
        if rejects:
            print(
                f"{source}: {len(rejects):,} of {images:,} images are not usable and are left out", flush=True
            )

    def _text(self) -> str:
        text = io.StringIO()
        # The usual line ends: with others a carriage return in a name is not quoted.
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows(self._rows)
        return text.getvalue()


def _safe(text: str) -> str:
    """Returns a cell that no spreadsheet takes for a formula, with bytes that are no UTF-8 as escapes."""
    readable = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return f"./{readable}" if readable.startswith(_FORMULA) else readable
