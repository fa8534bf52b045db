import concurrent.futures

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from trainer.data import stream as stream_module
from trainer.data.share import Rows, Share
from trainer.data.splits import SplitSummary
from trainer.data.stream import Stream
from trainer.loop.epoch_order import EpochOrder, StreamOrder


@pytest.mark.parametrize(
    ("size", "seed", "worker", "epoch"), [(1_000, 0, 0, 0), (999, 7, 3, 12), (1, 1, 0, 0)]
)
def test_the_order_is_that_of_random_keys(size, seed, worker, epoch):
    # As earlier versions computed it in the graph: runs that began with them go on in the same order.
    keys = tf.random.stateless_uniform(
        [size], seed=[seed + (worker << 32), epoch], minval=None, maxval=None, dtype=tf.int64
    )
    expected = tf.argsort(keys, stable=True).numpy()
    assert EpochOrder(size, seed=seed, worker=worker).of(epoch).tolist() == expected.tolist()


def test_replicas_share_one_computation(monkeypatch):
    computed = []
    real = tf.random.stateless_uniform
    monkeypatch.setattr(
        tf.random, "stateless_uniform", lambda *given, **more: computed.append(1) or real(*given, **more)
    )
    orders = EpochOrder(10_000, seed=1, worker=0)
    with concurrent.futures.ThreadPoolExecutor(8) as replicas:
        found = list(replicas.map(lambda _: orders.of(3), range(8)))
    assert len(computed) == 1
    assert all(one is found[0] for one in found)


def test_few_epochs_are_kept():
    orders = EpochOrder(100, seed=1, worker=0)
    first = orders.of(0)
    assert orders.of(1) is orders.of(1)
    assert orders.of(0) is first
    orders.of(2)
    again = orders.of(0)
    assert again is not first
    assert np.array_equal(again, first)


def stream_of(images: int, *, window: int, monkeypatch) -> Stream:
    """A stream of images that are all there; the first window has every digit."""
    monkeypatch.setattr(stream_module, "WINDOW", window)
    labels = (np.arange(images) % 10).astype(np.uint8)
    rows = Rows(np.zeros((images, 28, 28), np.uint8), labels, np.arange(images))
    share = Share({"train": rows}, [], images, SplitSummary.empty())
    return Stream(
        "few", epoch_images=images, identity="", fill=lambda _: share, finish=lambda _: pytest.fail("asked")
    )


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(images=st.integers(10, 90), window=st.integers(10, 40), seed=st.integers(0, 99))
def test_a_streams_first_epoch_shuffles_within_windows(images, window, seed):
    with (
        pytest.MonkeyPatch.context() as patch,
        stream_of(images, window=window, monkeypatch=patch).opened() as stream,
    ):
        order = StreamOrder(stream, seed=seed, worker=1)
        found = order.rows(0, np.arange(images))
        for start in range(0, images, window):
            assert sorted(found[start : start + window]) == [*range(start, min(start + window, images))]
        # However the places are asked for; behind the last one, from the first on.
        again = [order.rows(0, np.array([[place]]))[0, 0] for place in range(images)]
        assert again == found.tolist()
        assert order.rows(0, np.arange(images - 3, images + 3)).tolist() == [*found[-3:], *found[:3]]
        assert StreamOrder(stream, seed=seed + 1, worker=1).rows(0, np.arange(images)).tolist() != again


def test_a_streams_later_epochs_are_permutations_of_all_images(monkeypatch):
    with stream_of(95, window=20, monkeypatch=monkeypatch).opened() as stream:
        found = StreamOrder(stream, seed=3, worker=2).rows(1, np.arange(100))
    expected = EpochOrder(95, seed=3, worker=2).of(1)
    assert found.tolist() == [*expected, *expected[:5]]
