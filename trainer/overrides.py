"""A recipe as a run uses it: with what the run's options say otherwise."""

import dataclasses
import functools
from typing import Any, Final

import keras

from schemas.errors import UserError
from trainer.options import TrainOptions
from trainer.recipe import Recipe

FIELDS: Final = (
    "epochs",
    "batch",
    "schedule",
    "learning_rate",
    "clip_norm",
    "ema",
    "label_smoothing",
    "precision",
    "xla",
    "patience",
    "accumulate",
)
"""Fields that recipes and options both have; an option's None leaves the recipe's own."""


def given(options: TrainOptions) -> dict[str, Any]:
    """Returns what the options say other than the recipe, by field."""
    values = {name: getattr(options, name) for name in FIELDS}
    return {name: value for name, value in values.items() if value is not None}


def apply(recipe: Recipe, options: TrainOptions) -> Recipe:
    """Returns the recipe with the options' overrides, its loss smoothed where that is asked for.

    Raises:
        UserError: when the recipe's loss cannot be smoothed.
    """
    changed = dataclasses.replace(recipe, **given(options))
    return _smoothed(changed) if changed.label_smoothing else changed


def _smoothed(recipe: Recipe) -> Recipe:
    # Class numbers cannot be smoothed; the one-hot loss of the same name is the same loss.
    if recipe.loss not in (
        keras.losses.SparseCategoricalCrossentropy,
        keras.losses.CategoricalCrossentropy,
    ):
        raise UserError(
            "--label-smoothing goes with a recipe whose loss is Keras's cross-entropy",
            got=recipe.label_smoothing,
            remedy="leave it out",
        )
    loss = functools.partial(keras.losses.CategoricalCrossentropy, label_smoothing=recipe.label_smoothing)
    return dataclasses.replace(recipe, loss=loss, one_hot=True)
