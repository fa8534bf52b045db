import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.digit import NOT_A_DIGIT
from trainer.data.splits import (
    Digits,
    Split,
    SplitSummary,
    balance,
    balanced_weights,
    warn_about_empty_classes,
)


def digits_of(counts, weights=None) -> Digits:
    labels = np.repeat(np.arange(10), counts).astype(np.uint8)
    train = Split(np.zeros((len(labels), 28, 28), np.uint8), labels, weights)
    return Digits("folder:x", train, None, train)


counts = st.lists(st.integers(0, 60), min_size=10, max_size=10).filter(any)


@given(counts)
def test_every_class_gets_the_same_weight_and_the_mean_is_one(found):
    digits = balance(digits_of(found))
    weights = digits.train.weights
    sums = np.bincount(digits.train.labels, weights, minlength=10)
    there = np.array(found) > 0
    assert sums[there] == pytest.approx(sums[there][0], rel=1e-4)
    assert weights.mean() == pytest.approx(1, rel=1e-4)


@given(counts)
def test_weights_follow_scikit_learns_formula(found):
    there = np.count_nonzero(found)
    for label, factor in enumerate(balanced_weights(tuple(found))):
        expected = sum(found) / (there * found[label]) if found[label] else 0
        assert factor == pytest.approx(expected)


def test_weights_of_a_mixture_are_multiplied():
    given_weights = np.array([1, 2, 1, 1], np.float32)
    digits = balance(digits_of([1, 3, 0, 0, 0, 0, 0, 0, 0, 0], given_weights))
    assert digits.train.weights.tolist() == pytest.approx([2, 4 / 3, 2 / 3, 2 / 3])


def test_weights_use_the_counts_of_all_workers():
    digits = dataclasses.replace(
        digits_of([1, 1, 0, 0, 0, 0, 0, 0, 0, 0]), all_train=SplitSummary((1, 9, 0, 0, 0, 0, 0, 0, 0, 0), 0)
    )
    assert balance(digits).train.weights.tolist() == pytest.approx([5, 5 / 9])


def test_empty_classes_cause_a_warning(capsys):
    warn_about_empty_classes(digits_of([1] * 10))
    assert capsys.readouterr().out == ""
    warn_about_empty_classes(digits_of([1, 1, 1, 0, 1, 1, 1, 0, 1, 1]))
    assert "warning: folder:x has no training image of 3, 7" in capsys.readouterr().out


def test_pictures_that_are_no_digit_count_as_a_class():
    labels = np.array([3] * 6 + [NOT_A_DIGIT] * 2 + [5] * 4, np.uint8)
    train = Split(np.zeros((12, 28, 28), np.uint8), labels)
    weights = balance(Digits("x", train, None, train)).train.weights
    sums = [weights[labels == label].sum() for label in (3, 5, NOT_A_DIGIT)]
    assert sums == pytest.approx([4, 4, 4])
