import dataclasses
import json

import keras
import numpy as np
import pytest

from schemas.errors import UserError
from trainer import recipes
from trainer.recipes.parts import overrides
from trainer.recipes.parts.recipe import Recipe
from trainer.train_options import TrainOptions


def options(**changes) -> TrainOptions:
    return TrainOptions(recipe="cnn", data="sample", output="run", **changes)


def test_without_overrides_a_recipe_is_unchanged():
    recipe = recipes.load("cnn")
    assert overrides.apply(recipe, options()) == recipe
    assert overrides.given(options()) == {}


def test_every_field_exists_in_recipe_and_options():
    for kind in (Recipe, TrainOptions):
        assert set(overrides.FIELDS) <= {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize(
    "given",
    [
        {"epochs": 3, "batch": 10},
        {"schedule": "one-cycle", "learning_rate": 0.5},
        {"clip_norm": 1.0, "ema": 0.9, "xla": False},
        {"precision": "mixed", "patience": 2, "accumulate": 4},
    ],
)
def test_options_override_the_recipe_and_are_recorded(given):
    changed = overrides.apply(recipes.load("cnn"), options(**given))
    assert {name: getattr(changed, name) for name in given} == given
    assert overrides.given(options(**given)) == given


def test_an_automatic_batch_grows_with_the_replicas_and_so_does_the_rate():
    recipe = recipes.load("cnn")
    for given, batch in (
        (options(global_batch="auto"), recipe.batch),
        (options(global_batch="auto", batch=50), 50),
    ):
        changed = overrides.apply(recipe, given, replicas=8)
        assert (changed.batch, changed.rate_factor) == (8 * batch, 8.0)
    assert overrides.apply(recipe, options(), replicas=8) == recipe


@pytest.mark.parametrize("other", [{"xla": True}, {"accumulate": 2}])
def test_synchronized_normalization_does_not_go_with(other):
    with pytest.raises(UserError, match="--sync-batch-norm cannot be combined with"):
        overrides.apply(recipes.load("strong-cnn"), options(sync_batch_norm=True, **other))
    assert overrides.apply(recipes.load("strong-cnn"), options(sync_batch_norm=True)).sync_batch_norm


@pytest.mark.parametrize("name", ["cnn", "dense-512-256-128"])
def test_smoothing_spreads_the_labels_of_sparse_and_one_hot_losses(name):
    changed = overrides.apply(recipes.load(name), options(label_smoothing=0.2))
    assert changed.one_hot
    answers = np.full((1, 10), 0.01, np.float32)
    answers[0, 3] = 0.91
    truth = np.eye(10, dtype=np.float32)[[3]]
    expected = -(0.82 * np.log(0.91) + 9 * 0.02 * np.log(0.01))
    assert float(changed.loss(reduction="none")(truth, answers)[0]) == pytest.approx(expected, rel=1e-4)


def test_label_smoothing_needs_cross_entropy():
    recipe = dataclasses.replace(recipes.load("cnn"), loss=keras.losses.MeanSquaredError)
    with pytest.raises(UserError, match="label-smoothing needs a recipe"):
        overrides.apply(recipe, options(label_smoothing=0.1))


def test_dropout_and_batch_normalization_go_into_the_network_of_a_dense_recipe():
    plain = recipes.load("dense-128")
    changed = overrides.apply(plain, options(dropout=0.5, batch_norm=True))
    assert len(changed.model().layers) == len(plain.model().layers) + 3
    only_one = overrides.apply(plain, options(dropout=0.5))
    assert len(only_one.model().layers) == len(plain.model().layers) + 1
    assert overrides.recorded(options(dropout=0.5), only_one) == {"dropout": 0.5}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("cnn", {"dropout": 0.1}),
        ("cnn", {"batch_norm": True}),
        ("cnn", {"batch_norm": False}),
        ("dense-512-256-128", {"dropout": 0.1}),
    ],
)
def test_other_recipes_reject_dropout_and_batch_norm(name, given):
    with pytest.raises(UserError, match="--dropout and --batch-norm only work with dense-128"):
        overrides.apply(recipes.load(name), options(**given))


def test_the_error_names_the_recipes_with_dropout_and_batch_norm():
    those = sorted(name for name in recipes.NAMES if recipes.load(name).dropout is not None)
    with pytest.raises(UserError) as refusal:
        overrides.apply(recipes.load("cnn"), options(dropout=0.1))
    assert f"{', '.join(those[:-1])} and {those[-1]}" in refusal.value.error


@pytest.mark.parametrize("name", recipes.NAMES)
def test_settings_are_json_and_distinguish_recipes(name):
    found = overrides.settings(recipes.load(name))
    assert set(found) == set(overrides.FIELDS)
    assert json.loads(json.dumps(found)) == found
