import itertools

import numpy as np
import pytest

from trainer.data.splits import Split
from trainer.pipeline import Order, evaluation_batches, training_batches, training_datasets


def numbered(count: int) -> Split:
    """Images that say their own number in the first two pixels."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.arange(count) // 256, np.arange(count) % 256
    return Split(images, (np.arange(count) % 10).astype(np.uint8))


def global_batches(batches, strategy) -> list[list[int]]:
    """Numbers of the images of each global batch, the first replica's first."""
    found = []
    for images, labels in batches:
        numbers = []
        for part, answers in zip(
            strategy.experimental_local_results(images),
            strategy.experimental_local_results(labels),
            strict=True,
        ):
            pixels = part.numpy().astype(int)
            numbers += (pixels[:, 0, 0] * 256 + pixels[:, 0, 1]).tolist()
            assert [number % 10 for number in numbers[-len(answers) :]] == answers.numpy().tolist()
        found.append(numbers)
    return found


def joined(batches: list[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(batches))


def train(strategy, *, count=100, batch=8, epochs=3, seed=5, start=0) -> list[list[int]]:
    per_replica = batch // strategy.num_replicas_in_sync
    order = Order(steps=count // batch, epochs=epochs, seed=seed, start=start)
    datasets = training_datasets(numbered(count), strategy=strategy, per_replica=per_replica, order=order)
    steps = order.steps * epochs - start
    return global_batches(itertools.islice(training_batches(datasets, strategy), steps), strategy)


@pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])
def test_an_epoch_holds_no_image_twice_and_drops_the_remainder(replicas, request):
    batches = train(request.getfixturevalue(replicas))
    assert len(batches) == 3 * (100 // 8)
    assert {len(batch) for batch in batches} == {8}
    for epoch in range(3):
        numbers = joined(batches[epoch * 12 : (epoch + 1) * 12])
        assert len(set(numbers)) == 96


def test_an_epoch_that_fills_its_batches_holds_every_image(one_replica):
    assert sorted(joined(train(one_replica, count=96, epochs=1))) == list(range(96))


def test_every_epoch_has_another_order_and_other_images_left_out(one_replica):
    batches = train(one_replica)
    epochs = [joined(batches[epoch * 12 : (epoch + 1) * 12]) for epoch in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert len({frozenset(epoch) for epoch in epochs}) == 3


def test_the_order_follows_from_the_seed(one_replica):
    assert train(one_replica, seed=5) == train(one_replica, seed=5)
    assert train(one_replica, seed=5) != train(one_replica, seed=6)
    assert train(one_replica, seed=2**32 - 1) == train(one_replica, seed=2**32 - 1)


def test_replicas_share_the_batch_that_one_would_get(one_replica, two_replicas):
    assert train(one_replica) == train(two_replicas)


def test_the_order_is_shuffled_well(one_replica):
    numbers = np.array(joined(train(one_replica, count=1_000, batch=10, epochs=1)))
    # A thousand places of a uniform permutation correlate with their numbers by less than 0.1.
    assert abs(np.corrcoef(numbers, np.arange(1_000))[0, 1]) < 0.1


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 31])
@pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])
def test_evaluation_goes_once_in_order_and_repeats_only_the_last(count, replicas, request):
    strategy = request.getfixturevalue(replicas)
    batches = global_batches(evaluation_batches(numbered(count), strategy=strategy, per_replica=4), strategy)
    step = 4 * strategy.num_replicas_in_sync
    assert {len(batch) for batch in batches} == {step}
    assert len(batches) == -(-count // step)
    numbers = joined(batches)
    assert numbers[:count] == list(range(count))
    assert set(numbers[count:]) <= {count - 1}
