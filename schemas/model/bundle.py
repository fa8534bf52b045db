"""The model bundle: the folder that training hands over to scoring."""

import enum
from typing import Final

CARD: Final = "model_card.json"
"""The card; written last, it holds the SHA-256 of every other file."""

KERAS_MODEL: Final = "model.keras"
"""The Keras model, to continue training from."""

SAVED_MODEL: Final = "saved_model"
"""Folder of the SavedModel, for TF Serving, Vertex AI and scoring on GPUs."""

LITERT_MODEL: Final = "model.tflite"
"""LiteRT model for CPUs, without TensorFlow."""

LITERT_INT8_MODEL: Final = "model_int8.tflite"
"""LiteRT model with 8-bit weights and activations: a third of the time, a quarter of the size."""

LITERT_MODELS: Final = (LITERT_MODEL, LITERT_INT8_MODEL)
"""The card names one of them as the default on CPUs."""

INT8_MAX_LOSS: Final = 0.0005
"""The 8-bit model is the default if it loses at most this much validation accuracy."""

GOLDEN_BATCH: Final = "golden.npz"
"""Inputs and expected outputs, checked before a bundle is used.

Arrays: `digits`, `probabilities`, and `probabilities_int8` of the 8-bit model."""

SIGNATURE: Final = "serving_default"
"""Name of the signature on canonical digits, in the SavedModel and in the LiteRT model."""

INPUT: Final = "digits"
"""The signature's input: `uint8[N, 28, 28]` canonical digits."""

OUTPUT: Final = "probabilities"
"""The signature's output: `float32[N, 10]`, calibrated; each row sums to one."""

OUTPUT_INT8: Final = "probabilities_int8"
"""Name of the 8-bit model's probabilities in the golden batch."""

ENCODED_SIGNATURE: Final = "encoded_images"
"""Name of the SavedModel's signature on image files."""

ENCODED_INPUT: Final = "image_bytes"
"""Input of the signature on image files: `string[N]`, each a whole PNG, JPEG, GIF or BMP.

Serving systems expect base64 for names that end in `_bytes`."""

DIGIT: Final = "digit"
"""Output of the signature on image files, besides `probabilities`: `int64[N]`."""

CONFIDENCE: Final = "confidence"
"""Output of the signature on image files, besides `probabilities`: the digit's, `float32[N]`."""

GOLDEN_TOLERANCE: Final = 1e-3
"""Greatest absolute difference of a probability from the golden batch."""

GOLDEN_TOLERANCE_INT8: Final = 0.05
"""Tolerance of the 8-bit model, whose results depend on the processor's kernels."""


class EngineKind(enum.StrEnum):
    """What runs a bundle's model; `auto` stands for one of the others."""

    AUTO = "auto"
    LITERT = "litert"
    LITERT_INT8 = "litert_int8"
    OPENVINO = "openvino"
    OPENVINO_INT8 = "openvino_int8"
    SAVED_MODEL = "saved_model"
