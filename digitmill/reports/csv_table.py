"""Encodes tables as CSV, and reads them."""

import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence


def encode_csv(rows: Iterable[Sequence[object]]) -> bytes:
    """Return rows as CSV (RFC 4180, UTF-8, `\\n`)."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def read_csv(name: str, data: bytes, *, header: bool = False) -> Iterator[list[str]]:
    """Yield the rows of a CSV file below its header, or with it; inflate one whose name ends in `.gz`.

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
