"""The names of all recipes, apart from the recipes so that flags can complete them without Keras."""

from typing import Final

NAMES: Final = (
    "dense-300-100",
    "dense-256-128",
    "cnn",
    "dense-128",
    "dense-512-256-128",
    "fast-99",
    "small-cnn",
    "strong-cnn",
    "strong-cnn-robust",
    "everyday-cnn",
    "everyday-cnn-refined",
    "distilled",
)
"""Values of `--recipe`; the file has underscores for hyphens."""
