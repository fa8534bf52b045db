import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.statistics import tallies as module
from pipelines.statistics.tallies import Tally, TallyAdder, sum_tallies

COUNTS = st.integers(0, 2**40)
NAMES = st.text(st.characters(exclude_categories=()), max_size=2)
TALLIES = st.lists(
    st.builds(Tally, NAMES, st.integers(-1, 9), COUNTS, st.floats(0, 1e20), COUNTS, COUNTS, COUNTS)
)


def added(tallies: list[Tally], *, most: int) -> list[Tally]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_IN_MEMORY", most)
        adder = TallyAdder()
        adder.add(tallies)
        result = adder.result()
    assert list(result) == list(result)
    return list(result)


@given(TALLIES, st.randoms())
def test_tallies_are_added_up_alike_on_disk_and_in_memory(tallies: list[Tally], random: Random) -> None:
    in_memory = added(tallies, most=1000)
    random.shuffle(tallies)
    assert added(tallies, most=2) == in_memory
    keys = [(tally.folder, tally.digit) for tally in in_memory]
    assert keys == sorted({(tally.folder, tally.digit) for tally in tallies})
    for whole in in_memory:
        same = [each for each in tallies if (each.folder, each.digit) == (whole.folder, whole.digit)]
        assert whole.images == sum(each.images for each in same)
        assert whole.accepted == sum(each.accepted for each in same)
        assert whole.confidence == math.fsum(each.confidence for each in same)


@given(TALLIES)
def test_a_sum_is_exact(tallies: list[Tally]) -> None:
    whole = sum_tallies(tallies)
    assert (whole.folder, whole.digit) == ("", -1)
    assert whole.confidence == math.fsum(tally.confidence for tally in tallies)
    assert whole.right == sum(tally.right for tally in tallies)
