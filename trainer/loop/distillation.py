"""Distillation: a small network learns what a large one answers, which says more than the label.

G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531. The
teacher sees the very images that the student gets, changed as they are (L. Beyer and others,
"Knowledge distillation: A good teacher is patient and consistent", arXiv:2106.05237).
"""

from typing import Final

import tensorflow as tf

from trainer.recipes.parts.recipe import Recipe

_LEAST_PROBABILITY: Final = 1e-7
"""Below it a logarithm is cut off, as Keras does."""


def soften(probabilities: tf.Tensor, temperature: float) -> tf.Tensor:
    """Returns the probabilities, float32[N, 10], that the logits over a temperature give."""
    return tf.nn.softmax(_logits(probabilities) / temperature)


def mixed(hard: tf.Tensor, probabilities: tf.Tensor, *, taught: tf.Tensor, recipe: Recipe) -> tf.Tensor:
    """Returns each image's loss, of its label and of what the teacher answers.

    Args:
        hard: float32[N], the loss by the labels, nats.
        probabilities: float32[N, 10], the student's.
        taught: float32[N, 10], the teacher's.
        recipe: its temperature and the share of the teacher's answers.

    Returns:
        float32[N], nats: the mean of the labels' loss and the cross-entropy of the softened answers,
        weighted by the recipe's share, and the latter by the temperature's square besides, by which its
        gradients are smaller. A mean, so that a loss which explodes is known by its size as ever.
    """
    temperature = recipe.teacher_temperature
    taught_weight, told_weight = recipe.soft_share * temperature**2, 1 - recipe.soft_share
    soft = tf.nn.softmax_cross_entropy_with_logits(
        labels=soften(taught, temperature), logits=_logits(probabilities) / temperature
    )
    return (taught_weight * soft + told_weight * hard) / (taught_weight + told_weight)


def _logits(probabilities: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.maximum(tf.cast(probabilities, tf.float32), _LEAST_PROBABILITY))
