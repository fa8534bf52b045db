"""The order of the images in each epoch, computed once for all replicas of this machine."""

import functools
import sys
import threading
from typing import Final

import numpy as np
import tensorflow as tf

from trainer.data.stream import Stream

_KEPT: Final = 2
"""Epochs whose order is kept: some replicas begin the next one while others still read ahead in this one."""

_FIRST_WINDOW: Final = 2**40
"""Number of a stream's first window, as the seed of its order; epochs have smaller ones."""


class EpochOrder:
    """The permutations of a worker's images, one per epoch, which depend only on the seed.

    Twenty million images take 2 s and 80 MB per epoch, for any number of replicas.

    Args:
        size: number of images.
        seed: seed of the training.
        worker: this worker's index; every worker has its own order of its own images.
    """

    def __init__(self, size: int, *, seed: int, worker: int) -> None:
        self._size = size
        self._seed = seed + (worker << 32)
        self._lock = threading.Lock()
        self._orders: dict[int, np.ndarray] = {}

    def of(self, epoch: int) -> np.ndarray:
        """Return the indices of all images in an epoch's order, int32[size]; read-only."""
        with self._lock:
            if epoch not in self._orders:
                while len(self._orders) >= _KEPT:
                    del self._orders[min(self._orders)]
                self._orders[epoch] = self._permutation(epoch)
            return self._orders[epoch]

    def _permutation(self, epoch: int) -> np.ndarray:
        with tf.device("CPU"):
            keys = tf.random.stateless_uniform(
                [self._size], seed=[self._seed, epoch], minval=None, maxval=None, dtype=tf.int64
            )
        # NumPy's sort takes a third of the time of `tf.argsort`, and releases Python's lock.
        order = np.argsort(keys.numpy(), kind="stable").astype(np.int32)
        order.flags.writeable = False
        return order


class StreamOrder:
    """The order of a worker's images that are still being decoded when training begins.

    In the first epoch, images come in shuffled windows, so that training can use a window before the next one
    is decoded; later epochs follow `EpochOrder`. The order depends only on the seed, not on the speed of
    decoding. An epoch with more places than images starts over with the first image.

    Args:
        stream: the images.
        seed: seed of the training.
        worker: this worker's index.
    """

    def __init__(self, stream: Stream, *, seed: int, worker: int) -> None:
        self._stream = stream
        self._order = functools.partial(EpochOrder, seed=seed, worker=worker)
        self._windows = self._order(stream.window)
        self._lock = threading.Lock()
        self._of_size: dict[int, EpochOrder] = {}

    def rows(self, epoch: int, places: np.ndarray) -> np.ndarray:
        """Return the images at some places of an epoch, int64[...]; wait until they are decoded.

        Args:
            epoch: its number, from 0.
            places: int64[...], from 0.
        """
        if epoch:
            images = self._stream.wait(sys.maxsize)
            return self._sized(images).of(epoch)[places % images].astype(np.int64)
        window = self._stream.window
        images = self._stream.wait((int(places.max()) // window + 1) * window)
        places = places % images if places.max() >= images else places
        rows = np.empty(places.shape, np.int64)
        for number in np.unique(places // window).tolist():
            first = number * window
            size = min(window, images - first)
            # Of a window that is not whole, no more images follow: `wait` returned all.
            order = self._windows if size == window else self._sized(size)
            here = places // window == number
            rows[here] = first + order.of(_FIRST_WINDOW + number)[places[here] - first]
        return rows

    def _sized(self, size: int) -> EpochOrder:
        with self._lock:
            return self._of_size.setdefault(size, self._order(size))
