import collections

from hypothesis import given
from hypothesis import strategies as st

from pipelines.archives import NameCounts


@given(st.lists(st.binary(max_size=2)))
def test_names_are_counted_as_by_a_dictionary(names: list[bytes]) -> None:
    counts, expected = NameCounts(), collections.Counter[bytes]()
    for name in names:
        expected[name] += 1
        assert counts.add(name) == expected[name]


def test_more_names_than_there_were_slots_keep_their_counts() -> None:
    counts = NameCounts()
    names = [b"%d" % number for number in range(40_000)]
    assert {counts.add(name) for name in names} == {1}
    assert {counts.add(name) for name in names} == {2}
