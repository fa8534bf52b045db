import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.statistics.agreement import (
    MAX_DISAGREEMENTS,
    Agreement,
    Disagreement,
    agreement_rows,
    count_agreements,
    worst_disagreements,
)
from pipelines.statistics.totals import add_up

ROWS = st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 9), st.integers(-1, 9)), max_size=40)


def count(rows: list[tuple[int, int, int]]) -> tuple[Agreement, ...]:
    digits, challenger_digits, labels = np.array(rows, np.int64).reshape(-1, 3).T
    return count_agreements(digits, challenger_digits, labels=labels)


@given(ROWS)
def test_every_image_is_counted_once_under_its_pair(rows: list[tuple[int, int, int]]) -> None:
    cells = count(rows)
    if all(challenger == -1 for _, challenger, _ in rows):
        assert cells == ()
        return
    assert list(cells) == sorted(cells)
    for cell in cells:
        labels = [label for *pair, label in rows if pair == [cell.digit, cell.challenger_digit]]
        assert cell.images == len(labels) > 0
        assert cell.labeled == sum(label >= 0 for label in labels)
        assert cell.right == labels.count(cell.digit)
        assert cell.challenger_right == (
            labels.count(cell.challenger_digit) if cell.challenger_digit >= 0 else 0
        )
    assert sum(cell.images for cell in cells) == len(rows)


@given(ROWS, ROWS)
def test_parts_add_up_to_the_whole(one: list, other: list) -> None:
    answered = [(0, 0, 0)]  # so that no part is without an answer
    parts = [*count(one + answered), *count(other + answered)]
    assert add_up(parts, keys=2) == add_up(parts[::-1], keys=2) == count(one + other + 2 * answered)


def test_a_missing_challenger_prediction_is_an_empty_cell() -> None:
    assert list(agreement_rows([Agreement(3, -1, 2, 1, 1, 0)])) == [(3, "", 2, 1, 1, 0)]


def test_worst_disagreements_are_those_both_models_are_confident_of() -> None:
    pairs = {"a": (0.99, 0.3), "b": (0.8, 0.9), "c": (0.7, 0.7), "d": (0.9, 0.8)}
    images = [Disagreement(name, 1, sure, 2, other, -1, "") for name, (sure, other) in pairs.items()]
    assert [image.image for image in worst_disagreements(images)] == ["b", "d", "c", "a"]
    assert len(worst_disagreements(images * 30)) == MAX_DISAGREEMENTS
