"""A recipe as a run uses it: with what the run's options say otherwise."""

import dataclasses
import functools
from typing import Any, Final

import keras

from schemas.errors import UserError
from trainer.recipes.parts import teachers
from trainer.recipes.parts.recipe import Recipe
from trainer.train_options import TrainOptions

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
    "dropout",
    "batch_norm",
    "teacher",
    "soft_share",
    "teacher_temperature",
)
"""Fields that recipes and options both have; an option's None leaves the recipe's own."""


def given(options: TrainOptions) -> dict[str, Any]:
    """Returns what the options say other than the recipe, by field."""
    values = {name: getattr(options, name) for name in FIELDS}
    return {name: value for name, value in values.items() if value is not None}


def settings(recipe: Recipe) -> dict[str, Any]:
    """Returns what options may override as it is in a recipe, in JSON's types; a teacher by its digest."""
    values = {name: getattr(recipe, name) for name in FIELDS}
    return values | {"teacher": recipe.teacher and recipe.teacher.digest}


def recorded(options: TrainOptions, recipe: Recipe) -> dict[str, Any]:
    """Returns what the options said other than the recipe, as the card has it."""
    return {name: settings(recipe)[name] for name in given(options)}


def apply(recipe: Recipe, options: TrainOptions) -> Recipe:
    """Returns the recipe with the options' overrides, its loss smoothed where that is asked for.

    Raises:
        UserError: when the recipe's loss cannot be smoothed, its network has no such option, the
            teacher is missing or no bundle.
    """
    values = given(options)
    if options.teacher is not None:
        values["teacher"] = teachers.find(options.teacher)
    changed = dataclasses.replace(recipe, **values)
    if changed.taught and changed.teacher is None:
        raise UserError(
            f"the recipe {options.recipe} has a teacher",
            got="no --teacher",
            remedy="give --teacher BUNDLE, such as an ensemble's",
        )
    if options.dropout is not None or options.batch_norm is not None:
        changed = _with_network_options(changed, recipe)
    return _smoothed(changed) if changed.label_smoothing else changed


def _with_network_options(changed: Recipe, recipe: Recipe) -> Recipe:
    if recipe.dropout is None or recipe.batch_norm is None:
        raise UserError(
            "--dropout and --batch-norm go with the recipes dense-128, dense-256-128 and dense-300-100",
            got=f"dropout {changed.dropout}, batch norm {changed.batch_norm}",
            remedy="leave them out, or choose one of those",
        )
    model = functools.partial(recipe.model, dropout=changed.dropout, batch_norm=changed.batch_norm)
    return dataclasses.replace(changed, model=model)


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
