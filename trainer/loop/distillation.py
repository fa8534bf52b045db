"""Knowledge distillation: a small network learns the probabilities that a large one predicts.

G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531. The
teacher sees the same augmented images as the student (L. Beyer and others, "Knowledge distillation: A
good teacher is patient and consistent", arXiv:2106.05237).
"""

from collections.abc import Callable
from typing import Final

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from schemas.digit import CLASSES, SIDE
from trainer.recipes.parts.recipe import Recipe

_MIN_PROBABILITY: Final = 1e-7
"""Probabilities are clipped here before their logarithm is taken, as in Keras."""

_REDUCED_LAYERS: Final = (
    keras.layers.Conv2D,
    keras.layers.BatchNormalization,
    keras.layers.ReLU,
    keras.layers.MaxPooling2D,
)
"""Layers of a teacher that follow the dtype policy: the costly ones."""


def soften(probabilities: tf.Tensor, temperature: float) -> tf.Tensor:
    """Return the softmax of the logits divided by a temperature, float32[N, 10]."""
    return tf.nn.softmax(_logits(probabilities) / temperature)


def mix_losses(hard: tf.Tensor, probabilities: tf.Tensor, *, teacher: tf.Tensor, recipe: Recipe) -> tf.Tensor:
    """Return each image's loss by label and teacher.

    Args:
        hard: float32[N], the loss by the labels, nats.
        probabilities: float32[N, 10], the student's.
        teacher: float32[N, 10], the teacher's.
        recipe: has the temperature and the teacher's share of the loss.

    Returns:
        float32[N], nats: the mean of the labels' loss and the cross-entropy to the softened teacher,
        weighted by the recipe's share. The latter is also weighted by the squared temperature, by which
        its gradients are smaller. As a mean, it stays comparable to the watchdog's limit.
    """
    temperature = recipe.teacher_temperature
    soft_weight, hard_weight = recipe.soft_share * temperature**2, 1 - recipe.soft_share
    soft = tf.nn.softmax_cross_entropy_with_logits(
        labels=soften(teacher, temperature), logits=_logits(probabilities) / temperature
    )
    return (soft_weight * soft + hard_weight * hard) / (soft_weight + hard_weight)


def _logits(probabilities: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.maximum(tf.cast(probabilities, tf.float32), _MIN_PROBABILITY))


def freeze(network: keras.Model, *, dtype_policy: str = "float32") -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a network as a function from uint8[N, 28, 28] to float32[N, 10], its weights constants.

    TensorFlow then folds batch normalizations into convolutions: an ensemble of three took a third of the
    time, and a fifth in bfloat16.

    Args:
        network: returns probabilities.
        dtype_policy: Keras dtype policy of its convolutions and the layers after them.
    """
    computing = network if dtype_policy == "float32" else _with_policy(dtype_policy, network)
    spec = tf.TensorSpec([None, SIDE, SIDE], tf.uint8)
    traced = tf.function(lambda digits: computing(digits, training=False)).get_concrete_function(spec)
    constant = convert_variables_to_constants_v2(traced)
    return lambda digits: tf.ensure_shape(constant(digits)[0], [None, CLASSES])


def _with_policy(dtype_policy: str, network: keras.Model) -> keras.Model:
    def copy_layer(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if isinstance(layer, _REDUCED_LAYERS):
            config["dtype"] = dtype_policy
        return type(layer).from_config(config)

    copy = keras.models.clone_model(network, clone_function=copy_layer, recursive=True)
    copy.set_weights(network.get_weights())
    return copy
