"""A recipe's network and optimizer under a distribution strategy: every replica has a copy."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from trainer.loop import precision, training_layers, updates, weights
from trainer.loop.evaluation import Evaluator
from trainer.loop.loss_scaling import LossScale
from trainer.recipes.parts.recipe import Recipe


class ReplicatedNetwork:
    """Builds a network and its optimizer in a strategy's scope, from Keras's random state.

    Args:
        recipe: the network and its optimizer.
        steps: steps of the whole training.
        strategy: the replicas.

    Attributes:
        evaluator: evaluates it in float32, as it is exported.
        loss_scale: scales the loss of a network that computes in float16; None for others.
    """

    def __init__(self, recipe: Recipe, steps: int, *, strategy: tf.distribute.Strategy) -> None:
        self._recipe = recipe
        self._steps = steps
        self._strategy = strategy
        dtype_policy = precision.dtype_policy(recipe.precision)
        with strategy.scope():
            with precision.under_policy(dtype_policy):
                self.model = training_layers.for_training(
                    recipe.model(),
                    sync_batch_norm=bool(recipe.sync_batch_norm) and strategy.num_replicas_in_sync > 1,
                )
            training_layers.separate_replicas(self.model)
            exact = recipe.model() if dtype_policy != "float32" else None
            self.optimizer = updates.make_optimizer(recipe, steps)
            self.optimizer.build(self.model.trainable_variables)
            self.loss_scale = LossScale() if dtype_policy == "mixed_float16" else None
        self.evaluator = Evaluator(self.model, strategy, exact=exact)
        self._average = tf.function(lambda: strategy.run(self._average_on_replica))

    def average_statistics(self) -> None:
        """Average batch-normalization statistics over the replicas.

        Keras lets each replica keep the statistics of its own images, but evaluates with them and saves
        only the first replica's. Moving averages are linear, so that their mean now is the same as a mean
        in every step.
        """
        self._average()

    def _average_on_replica(self) -> None:
        context = tf.distribute.get_replica_context()
        for weight in self.model.non_trainable_weights:
            # With several workers, TensorFlow accepts a tensor here but not the variable.
            weight.assign(context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.identity(weight.value)))

    def copy_outside_strategy(self) -> keras.Model:
        """Return a compiled copy of network and optimizer outside the strategy, ready for more training."""
        model = self._recipe.model()
        model.set_weights(self.model.get_weights())
        optimizer = updates.make_optimizer(self._recipe, self._steps)
        optimizer.build(model.trainable_variables)
        for copy, variable in zip(optimizer.variables, self.optimizer.variables, strict=True):
            copy.assign(variable.numpy())
        model.compile(optimizer=optimizer, loss=self._recipe.loss(), metrics=["accuracy"])
        return model

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the variables of network and optimizer for a checkpoint, bit for bit."""
        arrays: dict[str, np.ndarray] = {}
        for name, variables in self._variables().items():
            arrays |= weights.to_arrays(name, variables, self._strategy)
        return arrays

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore the variables from a checkpoint's arrays."""
        for name, variables in self._variables().items():
            # A checkpoint of other hardware may have no loss scale: it starts at its default.
            if name != "loss_scale" or f"{name}/0" in arrays:
                weights.from_arrays(arrays, name, variables, strategy=self._strategy)

    def _variables(self) -> dict[str, list[keras.Variable]]:
        found = {"model": self.model.variables, "optimizer": self.optimizer.variables}
        return found | ({"loss_scale": self.loss_scale.variables} if self.loss_scale is not None else {})
