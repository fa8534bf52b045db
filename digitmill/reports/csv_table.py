"""Encodes tables as CSV, and reads them."""

import csv
import gzip
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence


def encode_csv(rows: Iterable[Sequence[object]]) -> bytes:
    """Returns rows as CSV (RFC 4180, UTF-8, `\\n`)."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def read_csv(name: str, data: bytes) -> Iterator[list[str]]:
    """Yields the rows of a CSV file below its header; inflates one whose name ends in `.gz`."""
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
    return itertools.islice(csv.reader(io.StringIO(text, newline="")), 1, None)
