"""How the workers of one training tell each other bytes, through the strategy's own connection."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import tensorflow as tf

from trainer.cluster.strategy import local_replicas
from trainer.data.exchange import Exchange

_WORD: Final = 8
"""Collective operations move no single bytes, only numbers, bytes."""

_MOST: Final = 2**24
"""Bytes that each worker sends at once: all workers' are received together."""


def exchange_over(strategy: tf.distribute.Strategy) -> Exchange:
    """Returns a function that gives each worker's bytes to all; every worker must call it as often.

    Args:
        strategy: of any number of workers and of replicas on each.
    """
    gathered = gatherer(strategy)

    def exchange(data: bytes) -> Sequence[bytes]:
        sizes = [int(size[0]) for size in gathered(np.array([len(data)], np.int64))]
        received = [bytearray() for _ in sizes]
        for start in range(0, max(sizes), _MOST):
            most = min(_MOST, max(sizes) - start)
            words = np.zeros(-(-most // _WORD), np.int64)
            piece = data[start : start + most]
            words.view(np.uint8)[: len(piece)] = np.frombuffer(piece, np.uint8)
            for whole, part in zip(received, gathered(words), strict=True):
                whole.extend(part.tobytes()[:most])
        return [bytes(whole[:size]) for whole, size in zip(received, sizes, strict=True)]

    return exchange


def gatherer(strategy: tf.distribute.Strategy) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Returns a function from this worker's int64[N] to every worker's, all of the same N, in order."""

    def all_gather(words: tf.Tensor) -> tf.Tensor:
        return tf.distribute.get_replica_context().all_gather(words[None], axis=0)

    # One graph for all sizes.
    gather = tf.function(
        lambda words: strategy.run(all_gather, args=(words,)),
        input_signature=[tf.TensorSpec([None], tf.int64)],
    )
    local = local_replicas(strategy)

    def gathered(words: np.ndarray) -> list[np.ndarray]:
        # Every replica of a worker sends the same, and every one receives all.
        rows = strategy.experimental_local_results(gather(words))[0].numpy()
        return list(rows[::local])

    return gathered
