import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.scoring.kept_pixels import KeptPixels

RANKS = st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=9), max_size=6)


@given(RANKS, st.integers(1, 8))
def test_it_keeps_what_a_stable_sort_of_all_puts_first(chunks: list[list[float]], most: int) -> None:
    kept, start = KeptPixels(most), 0
    for ranks in chunks:
        rows = np.arange(start, start + len(ranks))
        digits = np.zeros((len(ranks), 28, 28), np.uint8) + rows[:, None, None].astype(np.uint8)
        kept.add(rows, digits, ranks=np.array(ranks, np.float32))
        start += len(ranks)
    expected = np.argsort(np.array([rank for ranks in chunks for rank in ranks]), kind="stable")[:most]
    np.testing.assert_array_equal(kept.rows, expected)
    np.testing.assert_array_equal(kept.digits[:, 0, 0], expected)


def test_what_is_kept_does_not_hold_the_rest() -> None:
    kept = KeptPixels(2)
    digits = np.zeros((512, 28, 28), np.uint8)
    kept.add(np.arange(512), digits, ranks=np.zeros(512, np.float32))
    assert not np.shares_memory(kept.digits, digits)
    assert kept.digits.base is None or len(kept.digits.base) <= 4
