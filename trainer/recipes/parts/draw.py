"""Random numbers for whole batches, by a seed alone."""

import math

import tensorflow as tf

from schemas.digit import SIDE


class Draw:
    """Draws random numbers for each image of a batch; every call uses its own stream.

    Args:
        seed: int32[2] or int64[2].
        size: number of images.
    """

    def __init__(self, seed: tf.Tensor, size: tf.Tensor) -> None:
        self._seed = seed
        self._size = size
        self._calls = 0

    def uniform(self, low: float, high: float, *shape: int) -> tf.Tensor:
        """Return float32[N, *shape] in [low, high)."""
        return tf.random.stateless_uniform([self._size, *shape], self._next(), low, high)

    def symmetric(self, most: float) -> tf.Tensor:
        """Return float32[N] in [-most, most)."""
        return self.uniform(-most, most)

    def chosen(self, share: float) -> tf.Tensor:
        """Return float32[N]: 1 for about that share of the images, 0 for the others."""
        return tf.cast(self.uniform(0, 1) < share, tf.float32)

    def noise(self) -> tf.Tensor:
        """Return float32[N, 28, 28] of mean 0 and standard deviation 1.

        The sum of a random word's four bytes is nearly normal, and three times cheaper.
        """
        words = tf.random.stateless_uniform(
            [self._size, SIDE, SIDE], self._next(), minval=None, maxval=None, dtype=tf.int32
        )
        even = tf.bitwise.bitwise_and(words, 0x00FF00FF)
        odd = tf.bitwise.bitwise_and(tf.bitwise.right_shift(words, 8), 0x00FF00FF)
        pairs = even + odd
        low = tf.bitwise.bitwise_and(pairs, 0xFFFF)
        total = low + tf.bitwise.right_shift(pairs, 16)
        spread = math.sqrt(4 * (256**2 - 1) / 12)
        return (tf.cast(total, tf.float32) - 2 * 255.0) / spread

    def _next(self) -> tf.Tensor:
        self._calls += 1
        return tf.random.fold_in(self._seed, self._calls)
