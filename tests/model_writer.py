"""Models of the bundle's signature that do what a test wants of them."""

import pathlib
from collections.abc import Callable

import tensorflow as tf

from schemas.model.bundle import INPUT, OUTPUT, SIGNATURE


def saved(folder: pathlib.Path, effect: Callable[[tf.Tensor], object]) -> bytes:
    """Return the graph of a model of the bundle's signature that does something besides."""
    module = tf.Module()
    module.weights = tf.Variable(tf.ones([28 * 28, 10]))

    def serve(digits: tf.Tensor) -> dict[str, tf.Tensor]:
        result = effect(digits)
        with tf.control_dependencies([result] if result is not None else []):
            pixels = tf.cast(tf.reshape(digits, [-1, 28 * 28]), tf.float32)
            return {OUTPUT: tf.nn.softmax(pixels @ module.weights)}

    module.serve = tf.function(serve, input_signature=[tf.TensorSpec([None, 28, 28], tf.uint8, name=INPUT)])
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: module.serve})
    return (folder / "saved_model.pb").read_bytes()
