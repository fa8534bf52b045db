import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from digitmill.reports.csv_table import encode_csv

CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=5))
def test_any_text_comes_back_from_a_table(rows: list[list[str]]) -> None:
    text = encode_csv(rows).decode()
    # A carriage return by itself is not quoted, and ends a line for readers.
    if not any("\r" in cell for row in rows for cell in row):
        assert list(csv.reader(io.StringIO(text, newline=""))) == rows


def test_lines_end_as_on_unix() -> None:
    assert encode_csv([("a", 1), ("b,c", "")]) == b'a,1\n"b,c",\n'
