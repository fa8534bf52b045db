"""Writes a network in the formats of a bundle: Keras, SavedModel, LiteRT float and int8."""

import os
import pathlib
import warnings
from typing import Final

import keras
import numpy as np
import tensorflow as tf

from digitmill.native_log import quiet_stderr
from schemas.digit import SIDE
from schemas.model import bundle
from trainer.bundle.encoded import canonical_digits
from trainer.data.splits import evenly_spaced
from trainer.metrics.temperature import softmax_layer

_REPRESENTATIVE: Final = 256
"""Training images that determine the ranges of activations for int8."""

_FLOAT_OPS: Final = ("SOFTMAX",)
"""Operations that stay float: an int8 softmax has 256 probabilities, none above 0.9961."""

_FLOAT_OPS_OF_AVERAGES: Final = (*_FLOAT_OPS, "ADD", "ADD_N", "DIV", "LOG", "MAXIMUM", "MEAN", "MUL", "SUM")
"""The same for averages of several networks, where more operations follow the softmax."""


def write(model: keras.Model, folder: pathlib.Path, *, representative: np.ndarray) -> None:
    """Write `model.keras`, the SavedModel and both LiteRT models.

    Args:
        model: built outside any strategy.
        folder: an existing folder.
        representative: uint8[N, 28, 28] training images, for int8.
    """
    model.save(folder / bundle.KERAS_MODEL)
    saved_model = folder / bundle.SAVED_MODEL
    with quiet_stderr():
        _write_saved_model(model, saved_model)
        (folder / bundle.LITERT_MODEL).write_bytes(_converter(saved_model).convert())
        kept = _FLOAT_OPS_OF_AVERAGES if softmax_layer(model) is None else _FLOAT_OPS
        int8 = _int8(saved_model, representative=representative, float_ops=kept)
        (folder / bundle.LITERT_INT8_MODEL).write_bytes(int8)


def _write_saved_model(model: keras.Model, folder: pathlib.Path) -> None:
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        name=bundle.SIGNATURE,
        # training=False, or augmentation and dropout layers stay active. The dictionary names the output.
        fn=lambda digits: {bundle.OUTPUT: model(digits, training=False)},
        input_signature=[tf.TensorSpec([None, SIDE, SIDE], tf.uint8, name=bundle.INPUT)],
    )

    def predict_files(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = model(canonical_digits(image_bytes), training=False)
        return {
            bundle.OUTPUT: probabilities,
            bundle.DIGIT: tf.argmax(probabilities, axis=-1),
            bundle.CONFIDENCE: tf.reduce_max(probabilities, axis=-1),
        }

    archive.add_endpoint(
        name=bundle.ENCODED_SIGNATURE,
        fn=predict_files,
        input_signature=[tf.TensorSpec([None], tf.string, name=bundle.ENCODED_INPUT)],
    )
    archive.write_out(os.fspath(folder), verbose=False)


def _converter(saved_model: pathlib.Path) -> tf.lite.TFLiteConverter:
    return tf.lite.TFLiteConverter.from_saved_model(os.fspath(saved_model), signature_keys=[bundle.SIGNATURE])


def _int8(saved_model: pathlib.Path, *, representative: np.ndarray, float_ops: tuple[str, ...]) -> bytes:
    """Return the LiteRT model quantised to int8, with float probabilities."""
    converter = _converter(saved_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        (bundle.SIGNATURE, {bundle.INPUT: image[None]})
        for image in representative[evenly_spaced(len(representative), _REPRESENTATIVE)]
    )
    # TensorFlow excludes operations from quantisation only through its debugger.
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=list(float_ops))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=converter.representative_dataset, debug_options=options
        )
        return debugger.get_nondebug_quantized_model()
