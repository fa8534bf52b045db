"""The model bundle: a folder that is all that passes from training to scoring."""

from typing import Final

CARD: Final = "model_card.json"
"""The card; written last, it holds the SHA-256 of every other file."""

KERAS_MODEL: Final = "model.keras"
"""To go on training from."""

SAVED_MODEL: Final = "saved_model"
"""A folder, for TF Serving, Vertex and GPU scoring."""

LITERT_MODEL: Final = "model.tflite"
"""The default engine's model on CPU workers."""

GOLDEN_BATCH: Final = "golden.npz"
"""Inputs and expected outputs, arrays `digits` and `probabilities`; scored before a bundle is trusted."""

SIGNATURE: Final = "serving_default"
"""Name of the signature on canonical digits, in the SavedModel and in the LiteRT model."""

INPUT: Final = "digits"
"""The signature's input: `uint8[N, 28, 28]` canonical digits."""

OUTPUT: Final = "probabilities"
"""The signature's output: `float32[N, 10]`, calibrated, each row sums to one."""

GOLDEN_TOLERANCE: Final = 1e-3
"""Greatest absolute difference of a probability from the golden batch's."""
