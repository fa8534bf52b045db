"""Writes a network in each of a bundle's formats."""

import os
import pathlib
import warnings
from collections.abc import Callable, Iterator
from typing import Final

import keras
import numpy as np
import tensorflow as tf

from schemas.digit import SIDE
from schemas.model import bundle
from trainer.bundle.encoded import canonical_digits
from trainer.metrics.temperature import softmax_layer
from trainer.quiet import quiet_stderr

_REPRESENTATIVE: Final = 256
"""Training images by which the range of each activation is found."""

_KEPT_FLOAT: Final = ("SOFTMAX",)
"""A softmax of eight bits knows 256 probabilities, none above 0.9961: no threshold lies beyond."""

_KEPT_FLOAT_BEHIND: Final = (*_KEPT_FLOAT, "ADD", "ADD_N", "DIV", "LOG", "MAXIMUM", "MEAN", "MUL", "SUM")
"""Where several networks' probabilities are averaged, what is done with them as well."""


def write(model: keras.Model, folder: pathlib.Path, *, representative: np.ndarray) -> None:
    """Writes `model.keras`, the SavedModel and both LiteRT models.

    Args:
        model: outside any strategy.
        folder: where; it exists.
        representative: uint8[N, 28, 28] training images.
    """
    model.save(folder / bundle.KERAS_MODEL)
    saved_model = folder / bundle.SAVED_MODEL
    with quiet_stderr():
        _write_saved_model(model, saved_model)
        (folder / bundle.LITERT_MODEL).write_bytes(_converter(saved_model).convert())
        kept = _KEPT_FLOAT_BEHIND if softmax_layer(model) is None else _KEPT_FLOAT
        int8 = _int8(saved_model, representative=representative, kept_float=kept)
        (folder / bundle.LITERT_INT8_MODEL).write_bytes(int8)


def _write_saved_model(model: keras.Model, folder: pathlib.Path) -> None:
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        name=bundle.SIGNATURE,
        # Without training=False augmentation and dropout layers would stay active; the dictionary
        # names the output.
        fn=lambda digits: {bundle.OUTPUT: model(digits, training=False)},
        input_signature=[tf.TensorSpec([None, SIDE, SIDE], tf.uint8, name=bundle.INPUT)],
    )

    def answer_files(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = model(canonical_digits(image_bytes), training=False)
        return {
            bundle.OUTPUT: probabilities,
            bundle.DIGIT: tf.argmax(probabilities, axis=-1),
            bundle.CONFIDENCE: tf.reduce_max(probabilities, axis=-1),
        }

    archive.add_endpoint(
        name=bundle.ENCODED_SIGNATURE,
        fn=answer_files,
        input_signature=[tf.TensorSpec([None], tf.string, name=bundle.ENCODED_INPUT)],
    )
    archive.write_out(os.fspath(folder), verbose=False)


def _converter(saved_model: pathlib.Path) -> tf.lite.TFLiteConverter:
    return tf.lite.TFLiteConverter.from_saved_model(os.fspath(saved_model), signature_keys=[bundle.SIGNATURE])


def _int8(saved_model: pathlib.Path, *, representative: np.ndarray, kept_float: tuple[str, ...]) -> bytes:
    """Returns the LiteRT model quantised after training, probabilities in float all the same."""
    converter = _converter(saved_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = _representative(representative)
    # The debugger is TensorFlow's way to leave some operations out.
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=list(kept_float))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter,
            debug_dataset=converter.representative_dataset,
            debug_options=options,
        )
        return debugger.get_nondebug_quantized_model()


def _representative(images: np.ndarray) -> Callable[[], Iterator[tuple[str, dict[str, np.ndarray]]]]:
    chosen = images[np.linspace(0, len(images) - 1, min(_REPRESENTATIVE, len(images))).astype(int)]

    def dataset() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        for image in chosen:
            yield bundle.SIGNATURE, {bundle.INPUT: image[None]}

    return dataset
