"""Runs a model over a split, on every replica."""

import keras
import numpy as np
import tensorflow as tf

from trainer.cluster.strategy import is_multi_worker
from trainer.data.splits import Split
from trainer.loop.pipeline import evaluation_batches
from trainer.loop.precision import exact_float32
from trainer.metrics.measures import Evaluation

_BATCH = 1_000
"""Images per replica and step: enough to make a step's fixed cost negligible."""


class Evaluator:
    """Evaluates a model on splits of any size, on every replica, in full float32.

    Args:
        model: built in the strategy's scope.
        strategy: the replicas.
        exact: a float32 network of the same architecture, built in the same scope. It takes over the
            model's weights and predicts in its place: a bfloat16 model is measured as it is exported.
    """

    def __init__(
        self, model: keras.Model, strategy: tf.distribute.Strategy, *, exact: keras.Model | None = None
    ) -> None:
        self._strategy = strategy
        self._model = model
        self._exact = exact
        network = exact or model

        def predict(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            del labels
            return network(images, training=False)

        self._predict = tf.function(lambda batch: strategy.run(predict, args=batch))
        self._predict_locally = tf.function(lambda images: network(images, training=False))

    def evaluate(self, split: Split) -> Evaluation:
        """Return the predictions on a split with at least one image.

        All workers hold the split; each predicts a share, and all get all predictions.
        """
        self._update_exact()
        per_replica = min(_BATCH, -(-len(split) // self._strategy.num_replicas_in_sync))
        parts = []
        with exact_float32():
            for batch in evaluation_batches(split, strategy=self._strategy, per_replica=per_replica):
                parts += self._gather(self._predict(batch))
        return Evaluation.of(split.labels, np.concatenate(parts)[: len(split)])

    def evaluate_locally(self, split: Split) -> Evaluation:
        """Return the predictions on a split, without other workers or replicas."""
        self._update_exact()
        starts = range(0, len(split), _BATCH)
        with exact_float32():
            parts = [self._predict_locally(split.images[start : start + _BATCH]).numpy() for start in starts]
        return Evaluation.of(split.labels, np.concatenate(parts))

    def _update_exact(self) -> None:
        if self._exact is not None:
            self._exact.set_weights(self._model.get_weights())

    def _gather(self, predictions: tf.distribute.DistributedValues) -> list[np.ndarray]:
        if is_multi_worker(self._strategy):
            return [self._strategy.gather(predictions, axis=0).numpy()]
        return [part.numpy() for part in self._strategy.experimental_local_results(predictions)]
