import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.reports.csv_table import encode_csv, encode_csv_columns

CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=5))
def test_any_text_comes_back_from_a_table(rows: list[list[str]]) -> None:
    text = encode_csv(rows).decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows


def test_lines_end_as_on_unix() -> None:
    assert encode_csv([("a", 1), ("b,c", "")]) == b'a,1\n"b,c",\n'


@given(st.lists(st.tuples(CELLS, st.sampled_from(["", "1", "0.500000"]), CELLS), max_size=5))
def test_columns_give_what_their_rows_give(rows: list[tuple[str, ...]]) -> None:
    columns = [*zip(*rows, strict=True)] or [(), (), ()]
    assert encode_csv_columns(columns) == encode_csv(rows)


@pytest.mark.parametrize("cell", ["a,b", 'a"b', "a\nb", "a\rb", "a b", "=1", "é", ""])
def test_what_may_need_quotes_gets_those_that_rows_get(cell: str) -> None:
    assert encode_csv_columns([["x", cell], ["1", "2"]]) == encode_csv([("x", "1"), (cell, "2")])
