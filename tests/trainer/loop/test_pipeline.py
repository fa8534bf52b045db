import itertools
import textwrap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.splits import Split
from trainer.loop.pipeline import BatchOrder, distribute, evaluation_batches, training_datasets


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
            numbers += numbers_of(part.numpy(), answers.numpy())
        found.append(numbers)
    return found


def numbers_of(images: np.ndarray, labels: np.ndarray) -> list[int]:
    pixels = images.astype(int)
    numbers = (pixels[:, 0, 0] * 256 + pixels[:, 0, 1]).tolist()
    assert [number % 10 for number in numbers] == labels.tolist()
    return numbers


def steps_of(batches, strategy, *, order: BatchOrder, replicas: int) -> list[list[int]]:
    """The same of training batches, whose blocks are taken apart."""
    found: list[list[int]] = []
    step, last = order.start_step, order.steps_per_epoch * order.epochs
    for images, labels in batches:
        parts = [strategy.experimental_local_results(values) for values in (images, labels)]
        assert len(parts[0]) == replicas
        count = len(parts[0][0])
        assert step + count == order.block_end(step)
        for number in range(count):
            pairs = zip(*parts, strict=True)
            found.append(
                joined([numbers_of(part.numpy()[number], answers.numpy()[number]) for part, answers in pairs])
            )
        step += count
        if step == last:
            return found
    raise AssertionError("the batches came to an end")


def joined(batches: list[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(batches))


def train(strategy, *, count=100, batch=8, epochs=3, seed=5, start=0, block=1, every=0) -> list[list[int]]:
    per_replica = batch // strategy.num_replicas_in_sync
    order = BatchOrder(count // batch, epochs, seed, start, block_steps=block, checkpoint_steps=every)
    datasets = training_datasets(numbered(count), strategy=strategy, per_replica=per_replica, order=order)
    batches = distribute(datasets, strategy)
    return steps_of(batches, strategy, order=order, replicas=strategy.num_replicas_in_sync)


@pytest.mark.parametrize(
    ("replicas", "block", "every"),
    [
        ("one_replica", 5, 0),
        ("one_replica", 12, 0),
        ("one_replica", 100, 0),
        ("one_replica", 4, 5),
        ("two_replicas", 100, 7),
    ],
)
def test_block_size_does_not_change_batches(replicas, block, every, request):
    strategy = request.getfixturevalue(replicas)
    assert train(strategy, block=block, every=every) == train(strategy)


@pytest.mark.parametrize(
    ("start", "block", "every"),
    [(1, 1, 0), (11, 5, 0), (12, 5, 0), (13, 5, 7), (35, 5, 7)],
)
def test_a_resumed_training_gets_the_remaining_batches(start, block, every, one_replica):
    assert train(one_replica, start=start, block=block, every=every) == train(one_replica)[start:]


@given(
    steps=st.integers(1, 50), block=st.integers(1, 60), every=st.integers(0, 60), start=st.integers(0, 100)
)
def test_blocks_end_at_epochs_and_at_multiples(steps, block, every, start):
    order = BatchOrder(steps, 100, 0, start, block_steps=block, checkpoint_steps=every)
    step = start
    while step < start + 200:
        end = order.block_end(step)
        assert step < end <= step + block
        assert end <= (step // steps + 1) * steps
        assert not every or end <= (step // every + 1) * every
        assert all(order.block_end(within) == end for within in range(step, end))
        step = end


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


def test_every_epoch_has_another_order_and_drops_other_images(one_replica):
    batches = train(one_replica)
    epochs = [joined(batches[epoch * 12 : (epoch + 1) * 12]) for epoch in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert len({frozenset(epoch) for epoch in epochs}) == 3


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("replicas", "count"),
    [(replicas, count) for replicas in ("one_replica", "two_replicas") for count in (1, 7, 8, 9)],
)
def test_evaluation_reads_in_order_and_repeats_only_the_last_image(count, replicas, request):
    strategy = request.getfixturevalue(replicas)
    batches = global_batches(evaluation_batches(numbered(count), strategy=strategy, per_replica=4), strategy)
    step = 4 * strategy.num_replicas_in_sync
    assert {len(batch) for batch in batches} == {step}
    assert len(batches) == -(-count // step)
    numbers = joined(batches)
    assert numbers[:count] == list(range(count))
    assert set(numbers[count:]) <= {count - 1}


@pytest.mark.slow
def test_mapped_images_are_not_copied_even_for_a_moment(run_python):
    code = """
        import pathlib, tempfile, threading, time
        import numpy as np, tensorflow as tf
        from trainer.data.share import map_column
        from trainer.data.splits import Split
        from trainer.loop import pipeline
        def own():
            text = pathlib.Path('/proc/self/status').read_text()
            fields = dict(line.split(':', 1) for line in text.splitlines())
            return sum(int(fields[name].split()[0]) for name in ('RssAnon', 'RssShmem')) * 1024
        file = tempfile.TemporaryFile()
        for _ in range(10):
            file.write(np.ones((20_000, 28, 28), np.uint8).data)
        split = Split(map_column(file, 'images'), np.zeros(200_000, np.uint8))
        cpu = tf.distribute.MirroredStrategy(['CPU:0'], tf.distribute.ReductionToOneDevice())
        order = pipeline.BatchOrder(steps_per_epoch=2_000, epochs=1, seed=0)
        peak = before = own()
        def watch():
            global peak
            while True:
                peak = max(peak, own())
                time.sleep(0.005)
        threading.Thread(target=watch, daemon=True).start()
        datasets = pipeline.training_datasets(split, strategy=cpu, per_replica=100, order=order)
        next(iter(datasets(0, 1)))
        next(pipeline.distribute(datasets, cpu))
        next(pipeline.evaluation_batches(split, strategy=cpu, per_replica=100))
        print((peak - before) / split.images.nbytes)
    """
    assert float(run_python(textwrap.dedent(code)).split()[-1]) < 0.5
