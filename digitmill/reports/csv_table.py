"""Encodes tables as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence


def encode_csv(rows: Iterable[Sequence[object]]) -> bytes:
    """Returns rows as CSV (RFC 4180, UTF-8, `\\n`)."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
