"""The contract of the model bundle: its files, and its card with the model's metrics.

Training writes them; scoring reads and checks them before any image.
"""

__all__ = [
    "accuracy",
    "bundle",
    "data_source",
    "ink_counts",
    "model_card",
    "recalibration",
    "trust",
]
