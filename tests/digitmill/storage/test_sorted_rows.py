import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.storage.sorted_rows import SortedRows
from schemas.errors import StorageError

TEXTS = st.text(st.characters(exclude_categories=()), max_size=4)


@given(st.lists(st.tuples(TEXTS, st.integers(0, 9))))
def test_rows_come_sorted_as_often_as_they_are_read(given_rows: list[tuple[str, int]]) -> None:
    rows = SortedRows()
    for row in given_rows:
        rows.add([row])
    assert len(rows) == len(given_rows)
    assert list(rows) == list(rows) == sorted(given_rows)


def test_a_full_disk_is_worded(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(name: str, **more: bool) -> sqlite3.Connection:
        database = real(name, **more)
        database.execute("PRAGMA max_page_count = 10")
        return database

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)
    rows = SortedRows()
    with pytest.raises(StorageError, match=r"cannot sort rows in a temporary file.*TMPDIR"):
        rows.add((f"{number}" * 100, None) for number in range(10_000))
