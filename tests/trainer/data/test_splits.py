import dataclasses
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.digit import NOT_A_DIGIT
from schemas.errors import UserError
from trainer.data.splits import Digits, Split, SplitSummary, check_shares, held_out, with_usable_validation


def split_of(labels: list[int]) -> Split:
    """A split whose images say their own number, so that each can be followed."""
    numbers = np.arange(len(labels), dtype=">u4").view(np.uint8).reshape(-1, 4)
    images = np.zeros((len(labels), 28, 28), np.uint8)
    images[:, 0, :4] = numbers
    return Split(images, np.array(labels, np.uint8))


def hold_out(split: Split, fraction: float) -> tuple[Split, Split | None]:
    out = held_out(split.labels, fraction)
    return (split.take(~out), split.take(out)) if out.any() else (split, None)


def numbers_of(split: Split | None) -> list[int]:
    return [] if split is None else split.images[:, 0, :4].copy().view(">u4")[:, 0].tolist()


labels = st.lists(st.integers(0, 9), min_size=1, max_size=200)
fractions = st.floats(0, 0.999)


@given(labels, fractions)
def test_hold_out_loses_and_repeats_no_image(labels, fraction):
    train, validation = hold_out(split_of(labels), fraction)
    assert sorted(numbers_of(train) + numbers_of(validation)) == list(range(len(labels)))


@given(labels, fractions)
def test_hold_out_takes_the_rounded_share(labels, fraction):
    _, validation = hold_out(split_of(labels), fraction)
    assert len(numbers_of(validation)) == round(len(labels) * fraction)


@given(labels, fractions)
def test_hold_out_takes_the_same_share_of_each_class(labels, fraction):
    whole = split_of(labels)
    _, validation = hold_out(whole, fraction)
    if validation is not None:
        share = len(validation) / len(whole)
        differences = np.array(validation.class_counts()) - share * np.array(whole.class_counts())
        assert (np.abs(differences) < 1).all()


@given(labels, fractions)
def test_hold_out_keeps_the_order_and_labels(labels, fraction):
    for part in hold_out(split_of(labels), fraction):
        numbers = numbers_of(part)
        assert numbers == sorted(numbers)
        assert part is None or part.labels.tolist() == [labels[number] for number in numbers]


def test_hold_out_takes_5000_of_60000_exactly():
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # MNIST's
    train, validation = hold_out(split_of(list(np.repeat(np.arange(10), counts))), 5_000 / 60_000)
    assert (len(train), len(validation)) == (55_000, 5_000)


def test_hold_out_spreads_over_the_order():
    _, validation = hold_out(split_of([3] * 100), 0.1)
    assert set(np.diff(numbers_of(validation)).tolist()) == {10}


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_hold_out_refuses_a_fraction_that_leaves_nothing_to_train_on(fraction):
    with pytest.raises(ValueError, match="fraction"):
        hold_out(split_of([1, 2]), fraction)


def digits_of(train: Split, test: Split) -> Digits:
    return Digits("x", train, None, test)


def test_digest_depends_on_images_labels_and_splits():
    first, second = split_of([1, 2, 3]), split_of([4, 5])
    relabeled = Split(first.images, np.array([1, 2, 4], np.uint8))
    redrawn = Split(first.images.copy(), first.labels)
    redrawn.images[0, 5, 5] = 1
    variants = [
        digits_of(first, second),
        digits_of(relabeled, second),
        digits_of(redrawn, second),
        digits_of(second, first),
        Digits("x", first, second, second),
    ]
    assert len({variant.digest for variant in variants}) == len(variants)


def test_digest_does_not_depend_on_the_name():
    digits = digits_of(split_of([1, 2, 3]), split_of([4]))
    assert dataclasses.replace(digits, name="y").digest == digits.digest


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 28, 28), np.float32), np.zeros(2, np.uint8)),
        (np.zeros((3, 28, 28), np.uint8), np.zeros(2, np.uint8)),
        (np.zeros((2, 28, 28, 1), np.uint8), np.zeros(2, np.uint8)),
        (np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 28, 28), np.uint8), np.array([0, 11], np.uint8)),
    ],
)
def test_a_split_refuses_other_shapes_types_and_labels(images, labels):
    with pytest.raises(ValueError, match="uint8"):
        Split(images, labels)


@pytest.mark.parametrize(
    "weights",
    [
        np.ones(2, np.float32),
        np.ones(3, np.float64),
        np.array([1, -1, 1], np.float32),
        np.array([1, np.nan, 1], np.float32),
        np.array([1, np.inf, 1], np.float32),
    ],
)
def test_a_split_refuses_other_weights(weights):
    with pytest.raises(ValueError, match="weights must be"):
        dataclasses.replace(split_of([1, 2, 3]), weights=weights)


def test_weights_go_with_their_images():
    weighted = dataclasses.replace(split_of([1, 2, 3]), weights=np.array([1, 2, 0.5], np.float32))
    assert weighted.take(np.array([2, 0])).weights.tolist() == [0.5, 1]
    train, validation = hold_out(weighted, 1 / 3)
    assert sorted([*train.weights.tolist(), *validation.weights.tolist()]) == [0.5, 1, 2]


@given(labels, st.integers(1, 5), st.randoms())
def test_summaries_add_up_over_workers_in_any_order(found, workers, random):
    whole = split_of(found)
    order = list(range(len(found)))
    random.shuffle(order)
    parts = [SplitSummary.of(whole.take(np.array(order[index::workers], int))) for index in range(workers)]
    assert sum(parts, start=SplitSummary.empty()) == SplitSummary.of(whole)
    assert SplitSummary.of(whole).images == len(found)


def test_a_summary_distinguishes_copies_from_single_images():
    once = split_of([3, 3])
    twice = once.take(np.array([0, 1, 1]))
    assert SplitSummary.of(twice).content != SplitSummary.of(once).content


def test_the_training_digest_depends_on_order_labels_and_weights():
    first = split_of([1, 2, 3])
    weighted = dataclasses.replace(first, weights=np.array([1, 2, 1], np.float32))
    variants = [
        first,
        first.take(np.array([1, 0, 2])),
        dataclasses.replace(first, labels=np.array([1, 2, 4], np.uint8)),
        weighted,
        dataclasses.replace(weighted, weights=np.array([2, 1, 1], np.float32)),
        split_of([1, 2]),
    ]
    found = [digits_of(variant, first).train_digest for variant in variants]
    assert len(set(found)) == len(variants)
    assert digits_of(split_of([1, 2, 3]), split_of([4])).train_digest == found[0]


def test_the_training_digest_takes_every_row_of_large_data_once():
    train = split_of([1] * 70_000)
    whole = hashlib.sha256(train.images.data)
    whole.update(train.labels.data)
    assert digits_of(train, split_of([1])).train_digest == whole.hexdigest()


def test_uneven_shares_are_refused_unless_told():
    own = split_of([1] * 30)
    digits = Digits("x", own, None, split_of([1]), all_train=SplitSummary.of(split_of([1] * 177)))
    with pytest.raises(UserError, match=r"less than 0\.95 .*--min-used\): '60 of 177 images of x'"):
        check_shares(digits, smallest=30, workers=2, least=0.95)
    check_shares(digits, smallest=30, workers=2, least=0.3)
    check_shares(digits, smallest=85, workers=2, least=0.95)


def test_the_known_digest_of_a_split_is_that_of_its_images():
    digits = digits_of(split_of([1, 2, 3]), split_of([1]))
    known = dataclasses.replace(digits, train=dataclasses.replace(digits.train, digest=digits.train_digest))
    assert known.train_digest == digits.train_digest
    weighted = dataclasses.replace(
        known, train=dataclasses.replace(known.train, weights=np.ones(3, np.float32))
    )
    assert weighted.train_digest != known.train_digest
    assert known.train.take(slice(2)).digest is None


@given(st.lists(st.integers(0, NOT_A_DIGIT), max_size=50))
def test_pictures_that_are_no_digit_are_counted_apart(labels):
    split = split_of(labels)
    assert split.class_counts() == tuple(labels.count(digit) for digit in range(10))
    assert split.not_digits == labels.count(NOT_A_DIGIT)
    summary = SplitSummary.of(split)
    assert summary.images == len(labels)
    assert summary + SplitSummary.empty() == summary
    halves = SplitSummary.of(split.take(slice(0, 20))) + SplitSummary.of(split.take(slice(20, None)))
    assert halves == summary
    assert SplitSummary.from_json(json.loads(json.dumps(dataclasses.astuple(summary)))) == summary


def test_summaries_of_earlier_versions_are_read():
    assert SplitSummary.from_json([[1] * 10, 5]) == SplitSummary((1,) * 10, 5, not_digits=0)


def test_validation_images_without_a_digit_are_no_validation():
    some, none = split_of([3, NOT_A_DIGIT]), split_of([NOT_A_DIGIT])
    assert with_usable_validation(Digits("x", some, none, some)).validation is None
    assert with_usable_validation(Digits("x", some, some, some)).validation is some
