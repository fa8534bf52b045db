"""Distillation: a small network learns what a large one answers, which says more than the label.

G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531. The
teacher sees the very images that the student gets, changed as they are (L. Beyer and others,
"Knowledge distillation: A good teacher is patient and consistent", arXiv:2106.05237).
"""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from schemas.digit import CLASSES, SIDE
from trainer.data.files import read_card

if TYPE_CHECKING:
    from trainer.recipe import Recipe

_LEAST_PROBABILITY: Final = 1e-7
"""Below it a logarithm is cut off, as Keras does."""

_COSTLY: Final = (
    keras.layers.Conv2D,
    keras.layers.BatchNormalization,
    keras.layers.ReLU,
    keras.layers.MaxPooling2D,
)


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A trained bundle.

    Attributes:
        place: its folder, local or in `gs://`.
        digest: SHA-256 of its card, which holds the digests of its files.
    """

    place: str
    digest: str

    def load(self) -> keras.Model:
        """Returns its network, whose weights stay as they are.

        Raises:
            UserError: when the bundle is missing or damaged.
        """
        from trainer.initial_weights import load_network

        _, network = load_network(self.place)
        network.trainable = False
        return network

    def answers(self, dtype_policy: str) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns what gives its answers, `frozen`."""
        return frozen(self.load(), dtype_policy=dtype_policy)


def find(place: str) -> Teacher:
    """Returns the bundle that a place names.

    Raises:
        UserError: when there is no card.
    """
    return Teacher(place, hashlib.sha256(read_card(place)).hexdigest())


def frozen(network: keras.Model, *, dtype_policy: str = "float32") -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns what gives a network's answers, uint8[N, 28, 28] to float32[N, 10], its weights constants.

    TensorFlow then folds batch normalisations into convolutions: by itself, an ensemble of three answered
    in a third of the time, and in bfloat16 in a fifth.

    Args:
        network: gives probabilities.
        dtype_policy: Keras's, of its convolutions and what follows them.
    """
    computing = network if dtype_policy == "float32" else _computing_in(dtype_policy, network)
    spec = tf.TensorSpec([None, SIDE, SIDE], tf.uint8)
    traced = tf.function(lambda digits: computing(digits, training=False)).get_concrete_function(spec)
    constant = convert_variables_to_constants_v2(traced)
    return lambda digits: tf.ensure_shape(constant(digits)[0], [None, CLASSES])


def _computing_in(dtype_policy: str, network: keras.Model) -> keras.Model:
    def copied(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if isinstance(layer, _COSTLY):
            config["dtype"] = dtype_policy
        return type(layer).from_config(config)

    copy = keras.models.clone_model(network, clone_function=copied, recursive=True)
    copy.set_weights(network.get_weights())
    return copy


def soften(probabilities: tf.Tensor, temperature: float) -> tf.Tensor:
    """Returns the probabilities, float32[N, 10], that the logits over a temperature give."""
    return tf.nn.softmax(_logits(probabilities) / temperature)


def mixed(hard: tf.Tensor, probabilities: tf.Tensor, *, taught: tf.Tensor, recipe: "Recipe") -> tf.Tensor:
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
