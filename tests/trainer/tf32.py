"""TF32 as GPUs from Ampere on compute float32 products: operands have 10 bits of mantissa."""

import numpy as np
import tensorflow as tf
from keras.src import ops

_DROPPED_BITS = 23 - 10


def rounded(values: tf.Tensor) -> tf.Tensor:
    """Return float32 values rounded to TF32; gradients pass through."""
    bits = tf.bitcast(values, tf.int32) + (1 << (_DROPPED_BITS - 1))
    short = tf.bitcast(bits & ~((1 << _DROPPED_BITS) - 1), tf.float32)
    return values + tf.stop_gradient(short - values)


def emulate(monkeypatch) -> None:
    """Let Keras's convolutions and dense layers round their operands while TensorFlow allows TF32."""
    for name in ("conv", "matmul"):
        monkeypatch.setattr(ops, name, _emulated(getattr(ops, name)))


def _emulated(product):
    def call(inputs, kernel, *args, **more):
        if inputs.dtype != "float32":
            return product(inputs, kernel, *args, **more)
        # When it runs, as GPUs do, not when the graph is made.
        enabled = tf.numpy_function(_is_enabled, [], tf.bool)
        operands = [
            tf.ensure_shape(tf.where(enabled, rounded(values), values), values.shape)
            for values in (tf.convert_to_tensor(inputs), tf.convert_to_tensor(kernel))
        ]
        return product(*operands, *args, **more)

    return call


def _is_enabled() -> np.bool_:
    return np.bool_(tf.config.experimental.tensor_float_32_execution_enabled())
