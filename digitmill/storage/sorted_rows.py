"""Sorts any number of rows in bounded memory, using SQLite on disk."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Final

from schemas.errors import StorageError

_AT_ONCE: Final = 256
"""Rows that are read at once."""


class SortedRows:
    """Pairs of a text and a JSON value in a temporary file, sorted by the text, then by the value's JSON.

    Add all pairs before reading the first one.
    """

    def __init__(self) -> None:
        # SQLite removes a database without a name by itself. Beam may continue an iteration in another
        # thread; never do two use it at once.
        self._database = sqlite3.connect("", check_same_thread=False)
        # Nobody reads it after a crash. The cache is what SQLite sorts in memory before it merges on disk.
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA cache_size = -8192")
        self._database.execute("CREATE TABLE given (text BLOB, value BLOB)")
        self._count = 0
        self._sorted = False

    def add(self, rows: Iterable[tuple[str, object]]) -> None:
        """Add rows; raise StorageError when the disk is full."""
        # Bytes of UTF-8 sort as Python sorts text.
        encoded = ((text.encode(errors="surrogatepass"), json.dumps(value)) for text, value in rows)
        with _using_disk():
            self._count += self._database.executemany("INSERT INTO given VALUES (?, ?)", encoded).rowcount

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        if not self._sorted:
            with _using_disk():
                self._database.execute("CREATE TABLE sorted AS SELECT * FROM given ORDER BY text, value")
                self._database.execute("DROP TABLE given")
            self._sorted = True
        found = self._database.execute("SELECT text, value FROM sorted ORDER BY rowid")
        while some := found.fetchmany(_AT_ONCE):
            # As one list: to decode each by itself takes three times as long.
            values = json.loads(f"[{','.join(value for _, value in some)}]")
            for (text, _), value in zip(some, values, strict=True):
                yield text.decode(errors="surrogatepass"), value


@contextlib.contextmanager
def _using_disk() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageError(
            "cannot sort rows in a temporary file",
            # Without TMPDIR SQLite takes this one, unlike Python.
            value=os.environ.get("TMPDIR", "/var/tmp"),
            hint=f"make room, or name another folder by TMPDIR: {error}",
        ) from error
