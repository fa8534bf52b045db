"""Teachers: trained bundles whose predictions a student learns."""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Final

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from schemas.digit import CLASSES, SIDE
from trainer.files.files import read_card

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
        from trainer.bundle.initial_weights import load_network

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
