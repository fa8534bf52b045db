import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from digitmill.reports.charts.differences import SHADES, cell_shades, difference, signed

COUNTS = st.lists(st.lists(st.integers(0, 2_000), min_size=3, max_size=3), min_size=3, max_size=3)


def taken(first, second):
    return difference(first, second, name="difference", title="B against A", reading="So.")


def test_more_is_better_on_the_diagonal_and_worse_beside_it() -> None:
    found = taken([[9, 1], [4, 6]], [[7, 3], [0, 10]])
    assert found.cells == (
        (("−2", f"worse{round(SHADES * 0.5**0.5)}"), ("+2", f"worse{round(SHADES * 0.5**0.5)}")),
        (("−4", f"better{SHADES}"), ("+4", f"better{SHADES}")),
    )
    assert found.chart.rows == ((0, -2, 2), (1, -4, 4))


def test_nothing_is_said_where_nothing_differs() -> None:
    assert taken([[1, 0], [0, 1]], [[1, 0], [0, 1]]).cells == (((("", "")),) * 2,) * 2


@given(COUNTS, COUNTS)
def test_shades_are_within_the_page_s_and_mirror_each_other(first, second) -> None:
    # Numbers alone: a drawing for each example would take long.
    forth, back = cell_shades(first, second), cell_shades(second, first)
    assert (forth == -back).all()
    assert (abs(forth) <= SHADES).all()
    assert ((forth != 0) == (np.array(first) != second)).all()


def test_counts_have_signs() -> None:
    assert [signed(count) for count in (1_234, -5, 0)] == ["+1,234", "−5", ""]
