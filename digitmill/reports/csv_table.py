"""Encodes and reads CSV tables."""

import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final


def encode_csv(rows: Iterable[Sequence[object]]) -> bytes:
    """Return rows as CSV (RFC 4180, UTF-8, `\\n`)."""
    file = _Lines()
    # The writer quotes only its own line end, not other characters that end lines.
    csv.writer(file, lineterminator=_CRLF).writerows(rows)
    return file.data.getvalue()


_CRLF: Final = "\r\n"


class _Lines:
    """File object for a CSV writer that encodes each line at once, to save memory for many lines."""

    def __init__(self) -> None:
        self.data = io.BytesIO()

    def write(self, line: str) -> None:
        self.data.write(f"{line.removesuffix(_CRLF)}\n".encode())


def encode_csv_columns(columns: Sequence[Sequence[str]]) -> bytes:
    """Return at least two columns of texts, of equal length, as CSV: the same bytes as `encode_csv`."""
    text = "".join(f"{line}\n" for line in map(",".join, zip(*columns, strict=True)))
    rows, commas = len(columns[0]), len(columns) - 1
    # Few names need quotes, and letting `csv` check each cell takes twice the time.
    if '"' in text or "\r" in text or text.count(",") != rows * commas or text.count("\n") != rows:
        return encode_csv(zip(*columns, strict=True))
    return text.encode()


def read_csv(name: str, data: bytes, *, header: bool = False) -> Iterator[list[str]]:
    """Yield the rows of a CSV file, without its header unless `header`; decompress names that end in `.gz`.

    Raises:
        ValueError: when the file is damaged.
    """
    plain = io.BytesIO(data)
    file = gzip.GzipFile(fileobj=plain) if name.endswith(".gz") else plain
    rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
    try:
        yield from itertools.islice(rows, 0 if header else 1, None)
    except (csv.Error, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"damaged: {error}") from error
