"""Applies a run's options to its recipe."""

import dataclasses
import functools
from typing import Any, Final

import keras

from schemas.errors import UserError
from schemas.labels import UNREADABLE
from trainer.recipes.parts.recipe import Recipe, Teacher
from trainer.train_options import TrainOptions

FIELDS: Final = tuple(
    field.name
    for field in dataclasses.fields(TrainOptions)
    if field.name in {shared.name for shared in dataclasses.fields(Recipe)}
)
"""Fields of both recipes and options; None in the options keeps the recipe's value."""


def given(options: TrainOptions) -> dict[str, Any]:
    """Return the options that override the recipe, by field."""
    values = {name: getattr(options, name) for name in FIELDS}
    return {name: value for name, value in values.items() if value is not None}


def settings(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe's overridable fields as JSON types; a teacher as its digest."""
    values = {name: getattr(recipe, name) for name in FIELDS}
    return values | {"teacher": recipe.teacher and recipe.teacher.digest}


def recorded(options: TrainOptions, recipe: Recipe) -> dict[str, Any]:
    """Return the overridden fields with their values, as the model card records them."""
    return {name: settings(recipe)[name] for name in given(options)}


def apply(recipe: Recipe, options: TrainOptions, *, replicas: int = 1) -> Recipe:
    """Return the recipe with the options' overrides; raise UserError for those it doesn't support.

    The number of replicas scales batch and learning rate under `--global-batch auto`.
    """
    values = given(options)
    if options.teacher is not None:
        values["teacher"] = Teacher.find(options.teacher)
    changed = dataclasses.replace(recipe, **values)
    if changed.needs_teacher and changed.teacher is None:
        raise UserError(
            f"the recipe {options.recipe} needs a teacher",
            value="no --teacher",
            hint="give --teacher BUNDLE, such as an ensemble's",
        )
    if options.dropout is not None or options.batch_norm is not None:
        changed = _with_network_options(changed, recipe)
    if changed.global_batch == "auto":
        changed = dataclasses.replace(changed, batch=changed.batch * replicas, rate_factor=float(replicas))
    _check_sync_batch_norm(changed)
    return _with_label_smoothing(changed) if changed.label_smoothing else changed


def _check_sync_batch_norm(recipe: Recipe) -> None:
    # Replicas can't exchange values within a loop or a compiled function.
    other = "--xla" if recipe.xla else f"--accumulate {recipe.accumulate}" if recipe.accumulate > 1 else None
    if recipe.sync_batch_norm and other is not None:
        raise UserError(
            "--sync-batch-norm cannot be combined with", value=other, hint="leave one of them out"
        )


def _with_network_options(changed: Recipe, recipe: Recipe) -> Recipe:
    if recipe.dropout is None or recipe.batch_norm is None:
        raise UserError(
            "--dropout and --batch-norm only work with dense-128, dense-256-128 and dense-300-100",
            value=f"dropout {changed.dropout}, batch norm {changed.batch_norm}",
            hint="leave them out, or choose one of those",
        )
    model = functools.partial(recipe.model, dropout=changed.dropout, batch_norm=changed.batch_norm)
    return dataclasses.replace(changed, model=model)


def _with_label_smoothing(recipe: Recipe) -> Recipe:
    # Class numbers can't be smoothed; on one-hot labels, it is the same loss.
    if recipe.loss not in (keras.losses.SparseCategoricalCrossentropy, keras.losses.CategoricalCrossentropy):
        raise UserError(
            "--label-smoothing needs a recipe with Keras's cross-entropy as loss",
            value=recipe.label_smoothing,
            hint="leave it out",
        )
    loss = functools.partial(keras.losses.CategoricalCrossentropy, label_smoothing=recipe.label_smoothing)
    return dataclasses.replace(recipe, loss=loss, one_hot=True)


def with_one_hot_labels(recipe: Recipe) -> Recipe:
    """Return the recipe with the same loss on one-hot labels, for targets that are not one class.

    Raises:
        UserError: if its loss takes class numbers and is not Keras's cross-entropy.
    """
    if recipe.one_hot:
        return recipe
    if recipe.loss is not keras.losses.SparseCategoricalCrossentropy:
        raise UserError(
            f"images labeled {UNREADABLE} need a recipe with Keras's cross-entropy as loss",
            value=recipe.loss,
            hint="leave them out, or choose another --recipe",
        )
    return dataclasses.replace(recipe, loss=keras.losses.CategoricalCrossentropy, one_hot=True)
