"""Dynamic loss scaling for float16, whose small gradients would vanish.

P. Micikevicius and others, "Mixed precision training", arXiv:1710.03740. Keras's LossScaleOptimizer does the
same, but updates in the cross-replica context; see `trainer.loop.updates.apply`.
"""

from collections.abc import Callable
from typing import Final

import keras
import tensorflow as tf

_INITIAL: Final = 2.0**15
_GROWTH_STEPS: Final = 2_000
"""Steps in a row with finite gradients after which the scale doubles."""


class LossScale:
    """A factor that grows while gradients are finite, and halves otherwise; made in the strategy's scope.

    Attributes:
        variables: the factor, and the steps since it last changed.
    """

    def __init__(self) -> None:
        self._factor, self._steps = self.variables = [
            keras.Variable(initial, dtype=dtype, trainable=False, name=name, aggregation="only_first_replica")
            for initial, dtype, name in ((_INITIAL, "float32", "loss_scale"), (0, "int64", "finite_steps"))
        ]

    def scale(self, loss: tf.Tensor) -> tf.Tensor:
        """Return the loss whose gradients are to be computed in float16."""
        return loss * self._factor.value

    def update(
        self,
        gradients: list[tf.Tensor],
        states: list[keras.Variable],
        apply: Callable[[list[tf.Tensor]], None],
    ) -> None:
        """Apply the gradients of a scaled loss; change no state if one is not finite.

        Args:
            gradients: summed over all replicas, so that these agree.
            states: every variable that `apply` changes.
            apply: updates the states by gradients of the true loss.
        """
        gradients = [gradient / self._factor.value for gradient in gradients]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        before = [tf.identity(state.value) for state in states]
        apply(gradients)
        # Not tf.cond: under MirroredStrategy, some variables can't be assigned in it.
        for state, old in zip(states, before, strict=True):
            state.assign(tf.where(finite, state.value, old))
        steps = self._steps.value + 1
        grows = finite & (steps >= _GROWTH_STEPS)
        grown = tf.where(grows, self._factor.value * 2, self._factor.value)
        self._factor.assign(tf.where(finite, grown, tf.maximum(self._factor.value / 2, 1.0)))
        self._steps.assign(tf.where(finite & ~grows, steps, 0))
