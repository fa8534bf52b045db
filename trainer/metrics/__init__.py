"""Metrics of a trained model: accuracy, temperature scaling, out-of-distribution images.

They end up in the model card: thresholds, and how far the confidence can be trusted.
"""

__all__ = [
    "assessment",
    "measures",
    "temperature",
]
