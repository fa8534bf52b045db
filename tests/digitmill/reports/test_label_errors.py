import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.reports.label_errors import SelfConfidence


@dataclasses.dataclass(frozen=True)
class Answer:
    label: int
    digit: int
    confidence: float


def answers_of(probabilities: np.ndarray, labels: np.ndarray) -> list[Answer]:
    return [
        Answer(int(label), int(row.argmax()), float(row.max()))
        for row, label in zip(probabilities, labels, strict=True)
    ]


def self_confidence(probabilities: np.ndarray, labels: np.ndarray) -> SelfConfidence:
    own = probabilities[np.arange(len(labels)), labels]
    return SelfConfidence.of(
        np.bincount(labels, weights=own, minlength=10).tolist(), np.bincount(labels, minlength=10).tolist()
    )


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0.5, 6))
def test_errors_are_off_the_diagonal_of_the_confident_joint(seed: int, images: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, images)
    logits = random.normal(size=(images, 10)) + scale * np.eye(10)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    known = self_confidence(probabilities, labels)
    # arXiv:1911.00068, equation 1: of the digits that reach their threshold, the most probable one.
    for answer, row in zip(answers_of(probabilities, labels), probabilities, strict=True):
        reached = [digit for digit in range(10) if row[digit] >= known.means[digit]]
        counted = max(reached, key=lambda digit: row[digit]) if reached else answer.label
        if answer.digit in reached:
            assert known.is_error(answer)
            assert counted == answer.digit
        else:
            assert not known.is_error(answer)


def test_errors_come_first_then_the_surest_answers() -> None:
    known = SelfConfidence((0.9, 0.6, *[0.95] * 8))
    ranked = known.rank(
        [Answer(2, 0, 0.85), Answer(3, 1, 0.7), Answer(4, 0, 0.89), Answer(5, 0, 0.93), Answer(0, 0, 0.99)]
    )
    assert ranked == [Answer(5, 0, 0.93), Answer(3, 1, 0.7), Answer(4, 0, 0.89), Answer(2, 0, 0.85)]
    assert "Of the first 2 " in known.reading(ranked)


def test_a_label_as_likely_as_on_average_is_not_in_doubt() -> None:
    known = SelfConfidence((0.3, *[0.9] * 9))
    assert known.rank([Answer(0, 1, 0.65), Answer(2, 1, 0.65)]) == [Answer(2, 1, 0.65)]


@pytest.mark.parametrize("images", [0, 5])
def test_without_sums_wrong_answers_are_ranked_but_none_is_an_error(images: int) -> None:
    known = SelfConfidence.of([0.0] * 10, [images] * 10)
    assert not known.is_error(Answer(1, 2, 0.99))
    assert known.rank([Answer(1, 2, 0.7), Answer(1, 2, 0.9)]) == [Answer(1, 2, 0.9), Answer(1, 2, 0.7)]
    assert "Of the first" not in known.reading([Answer(1, 2, 0.99)])


def test_there_is_a_mean_for_each_digit() -> None:
    with pytest.raises(ValueError, match="10 digits"):
        SelfConfidence((0.5,))
