from hypothesis import given
from hypothesis import strategies as st

from benchmarks.turns import in_turns


def test_contenders_alternate() -> None:
    assert list(in_turns("AB", 3)) == [(0, "A"), (0, "B"), (1, "A"), (1, "B"), (2, "A"), (2, "B")]


@given(st.lists(st.integers(), unique=True, max_size=6), st.integers(0, 5))
def test_each_has_one_turn_a_round(contenders: list[int], rounds: int) -> None:
    turns = list(in_turns(contenders, rounds))
    assert len(turns) == len(set(turns)) == rounds * len(contenders)
    for turn in range(rounds):
        assert [who for number, who in turns if number == turn] == contenders


def test_an_iterator_of_contenders_is_not_used_up_by_the_first_round() -> None:
    assert len(list(in_turns(iter("ABC"), 2))) == 6
