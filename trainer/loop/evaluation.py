"""Runs a model over a split, on every replica."""

import keras
import numpy as np
import tensorflow as tf

from trainer.cluster.strategy import is_multi_worker
from trainer.data.splits import Split
from trainer.loop.pipeline import evaluation_batches
from trainer.metrics.measures import Evaluation

_BATCH = 1_000
"""Images a replica and step: large enough that a step's own cost is small."""


class Evaluator:
    """Runs a model over splits on every replica; exact for any number of images.

    Args:
        model: built in the strategy's scope.
        strategy: the replicas.
        exact: a network of the same architecture, built in the same scope, which takes over the model's
            weights and answers in its place: where the model computes in bfloat16, as it is exported.
    """

    def __init__(
        self, model: keras.Model, strategy: tf.distribute.Strategy, *, exact: keras.Model | None = None
    ) -> None:
        self._strategy = strategy
        self._model = model
        self._exact = exact
        answering = exact or model

        def answer(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            del labels
            return answering(images, training=False)

        self._answer = tf.function(lambda batch: strategy.run(answer, args=batch))
        self._answer_alone = tf.function(lambda images: answering(images, training=False))

    def run(self, split: Split) -> Evaluation:
        """Returns the model's answers on a split that holds at least one image.

        Several workers, which all hold the split, answer a share each and tell each other.
        """
        self._take_over()
        per_replica = min(_BATCH, -(-len(split) // self._strategy.num_replicas_in_sync))
        parts = []
        for batch in evaluation_batches(split, strategy=self._strategy, per_replica=per_replica):
            parts += self._everybody_s(self._answer(batch))
        return Evaluation(split.labels, np.concatenate(parts)[: len(split)])

    def run_alone(self, split: Split) -> Evaluation:
        """Returns the model's answers without asking other workers or replicas."""
        self._take_over()
        starts = range(0, len(split), _BATCH)
        parts = [self._answer_alone(split.images[start : start + _BATCH]).numpy() for start in starts]
        return Evaluation(split.labels, np.concatenate(parts))

    def _take_over(self) -> None:
        if self._exact is not None:
            self._exact.set_weights(self._model.get_weights())

    def _everybody_s(self, answers: tf.distribute.DistributedValues) -> list[np.ndarray]:
        if is_multi_worker(self._strategy):
            return [self._strategy.gather(answers, axis=0).numpy()]
        return [part.numpy() for part in self._strategy.experimental_local_results(answers)]
