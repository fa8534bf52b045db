import pathlib
import re

import keras
import numpy as np
import pytest

from schemas.errors import UserError
from trainer import recipes

DENSE, CONVOLUTION, POOLING = keras.layers.Dense, keras.layers.Conv2D, keras.layers.MaxPooling2D
NORM, LEAKY, DROPOUT = keras.layers.BatchNormalization, keras.layers.LeakyReLU, keras.layers.Dropout
RELU = keras.layers.ReLU
PLAIN = [(CONVOLUTION, None), (NORM, None), (RELU, None)]
POOLED = [(CONVOLUTION, None), (POOLING, None), (NORM, None), (RELU, None)]
ALL = pytest.mark.parametrize("name", recipes.NAMES)


def layers_of(name: str) -> list:
    """The layers after scaling and reshaping, in short: type, and size or rate."""
    plain = (keras.layers.Rescaling, keras.layers.Flatten, keras.layers.Reshape)
    found = [layer for layer in recipes.load(name).model().layers if not isinstance(layer, plain)]
    return [(type(layer), getattr(layer, "units", getattr(layer, "rate", None))) for layer in found]


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("dense-300-100", [(DENSE, 300), (DENSE, 100), (DENSE, 10)]),
        ("dense-256-128", [(DENSE, 256), (DENSE, 128), (DENSE, 10)]),
        ("dense-128", [(DENSE, 128), (DENSE, 10)]),
        (
            "dense-512-256-128",
            [
                *[(DENSE, 512), (NORM, None), (LEAKY, None)],
                *[(DENSE, 256), (NORM, None), (LEAKY, None), (DROPOUT, 0.2)],
                *[(DENSE, 128), (NORM, None), (LEAKY, None), (DROPOUT, 0.1)],
                (DENSE, 10),
            ],
        ),
        ("cnn", [(CONVOLUTION, None), (POOLING, None)] * 2 + [(DENSE, 128), (DENSE, 10)]),
        ("fast-99", [*POOLED * 3, (DENSE, 10)]),
        ("small-cnn", [*POOLED, *(PLAIN + POOLED) * 2, (DROPOUT, 0.1), (DENSE, 10)]),
        ("strong-cnn", [*POOLED, *(PLAIN + POOLED) * 2, (DROPOUT, 0.3), (DENSE, 10)]),
    ],
)
def test_the_network_is_that_of_its_source(name, layers):
    assert layers_of(name) == layers


@pytest.mark.parametrize(
    ("name", "optimizer", "one_hot", "epochs", "batch", "held_out_of_60000"),
    [
        ("dense-300-100", "SGD", False, 30, 32, 5_000),
        ("dense-256-128", "Adam", True, 10, 32, 5_000),
        ("cnn", "Adam", False, 5, 64, 5_000),
        ("dense-128", "Adam", False, 5, 32, 5_000),
        ("dense-512-256-128", "Adam", True, 12, 128, 9_000),
        ("fast-99", "Adam", False, 1, 256, 5_000),
        ("small-cnn", "AdamW", False, 15, 128, 5_000),
        ("strong-cnn", "AdamW", False, 20, 128, 5_000),
        ("strong-cnn-robust", "AdamW", False, 20, 128, 5_000),
        ("everyday-cnn", "AdamW", False, 24, 256, 5_000),
        ("everyday-cnn-refined", "AdamW", False, 14, 256, 5_000),
        ("distilled", "AdamW", False, 40, 128, 5_000),
    ],
)
def test_the_training_is_that_of_its_source(name, optimizer, one_hot, epochs, batch, held_out_of_60000):
    recipe = recipes.load(name)
    assert type(recipe.optimizer(100)).__name__ == optimizer
    sparse = isinstance(recipe.loss(reduction="sum"), keras.losses.SparseCategoricalCrossentropy)
    assert (recipe.one_hot, sparse) == (one_hot, not one_hot)
    assert (recipe.epochs, recipe.batch) == (epochs, batch)
    assert round(60_000 * recipe.validation_fraction) == held_out_of_60000


def test_the_first_recipe_has_the_books_parameters_and_learning_rate():
    recipe = recipes.load("dense-300-100")
    assert recipe.model().count_params() == 266_610
    assert float(recipe.optimizer(100).learning_rate) == pytest.approx(0.01)


@ALL
def test_the_docstrings_parameter_count_is_right(name):
    recipe = recipes.load(name)
    assert f"{recipe.model().count_params():,} parameters" in recipe.model.__doc__


@ALL
def test_networks_map_canonical_digits_to_probabilities(name, few_digits):
    model = recipes.load(name).model()
    assert (model.input_shape, model.inputs[0].dtype) == ((None, 28, 28), "uint8")
    answers = model(few_digits.test.images, training=False).numpy()
    assert (answers.shape, answers.dtype) == ((103, 10), np.float32)
    assert answers.sum(axis=1) == pytest.approx(1, abs=1e-5)


@ALL
def test_pixels_are_scaled_within_the_model(name):
    (scaling,) = [
        layer for layer in recipes.load(name).model().layers if isinstance(layer, keras.layers.Rescaling)
    ]
    assert float(scaling(np.full((1, 28, 28), 255, np.uint8)).numpy().max()) == pytest.approx(1)


@ALL
def test_the_docstring_has_command_time_and_accuracy(name):
    recipe = recipes.load(name)
    text = " ".join(__import__(recipe.model.__module__, fromlist=["x"]).__doc__.split())
    assert re.search(f"digitmill train --recipe {name} .*--data (tfds:mnist|idx:mnist)", text)
    for word in ("Source:", "Time:", "Accuracy:", "seeds", "test"):
        assert word in text


def test_every_file_is_registered():
    files = {path.stem for path in pathlib.Path(recipes.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == {name.replace("-", "_") for name in recipes.NAMES}


@ALL
def test_the_summary_is_one_short_line(name):
    assert 10 < len(recipes.summary(name)) <= 80


@ALL
def test_what_the_list_shows_is_in_the_recipes_file(name):
    facts = recipes.facts(name)
    assert re.fullmatch(r"9\d\.\d\d %( ± 0\.\d\d)?", facts["accuracy"])
    assert facts["parameters"] == f"{recipes.load(name).model().count_params():,}"
    assert re.fullmatch(r"[\d,.]+( to [\d,.]+)? s", facts["time"])
    assert "parameters" not in facts["summary"]


def test_summaries_need_no_tensorflow(run_python):
    code = "import sys; from trainer import recipes; print(recipes.summary('cnn'))"
    assert "False" in run_python(f"{code}; print('keras' in sys.modules or 'tensorflow' in sys.modules)")


def test_an_unknown_recipe_is_refused_with_a_suggestion():
    with pytest.raises(UserError, match=r"unknown recipe: .* Did you mean dense-300-100"):
        recipes.load("dense-300-10")
    with pytest.raises(UserError, match="See `digitmill recipes`"):
        recipes.check("transformer")


@pytest.mark.parametrize("name", ["dense-300-100", "dense-256-128", "dense-128"])
def test_dense_recipes_take_dropout_and_batch_normalization(name, few_digits):
    recipe = recipes.load(name)
    plain, changed = recipe.model(), recipe.model(dropout=0.25, batch_norm=True)
    kinds = [type(layer) for layer in changed.layers]
    hidden = sum(isinstance(layer, DENSE) for layer in plain.layers) - 1
    assert (kinds.count(NORM), kinds.count(RELU), kinds.count(DROPOUT)) == (hidden,) * 3
    assert {layer.rate for layer in changed.layers if isinstance(layer, DROPOUT)} == {0.25}
    assert changed(few_digits.test.images, training=False).numpy().sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["small-cnn", "strong-cnn"])
def test_the_rate_rises_over_a_fifth_of_the_steps_and_falls_to_nothing(name):
    optimizer = recipes.load(name).optimizer(1_000)
    rates = [float(optimizer.learning_rate)]
    for step in (100, 200, 600, 1_000):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    assert rates == pytest.approx([0, 0.0015, 0.003, 0.0015, 0], abs=1e-6)
