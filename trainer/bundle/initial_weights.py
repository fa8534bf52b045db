"""Networks from trained bundles: initial weights for `--init`, teachers, and members of ensembles."""

import hashlib
import json
import pathlib
import tempfile
from typing import Any, Final, NoReturn

import keras

from digitmill.default_model import bundle_place
from digitmill.engines.bundle_files import read_bundle_file, read_card
from schemas.errors import UserError, first_line
from schemas.model import bundle
from schemas.model.model_card import ModelCard
from trainer.metrics.temperature import unbake
from trainer.recipes.parts.recipe import Teacher

_IGNORED_SETTINGS: Final = (
    "name",
    "trainable",
    "dtype",
    "seed",
    "rate",
    "momentum",
    "batch_shape",
    "build_config",
)
"""Settings in which two layers of the same architecture may differ."""

_IGNORED_SUFFIXES: Final = ("_initializer", "_regularizer", "_constraint")


def load_initial_weights(place: str, model: keras.Model) -> ModelCard:
    """Copy a bundle's weights into a network, without the temperature that was baked in; return its card.

    Raises:
        UserError: if the bundle is missing or damaged, or its architecture differs.
    """
    card, loaded = load_network(bundle_place(place))
    difference = _difference(loaded, model)
    if difference:
        raise UserError(
            "the architecture of --init differs from the recipe's",
            value=f"{place}, of the recipe {card.recipe}",
            hint=f"train with --recipe {card.recipe}, or without --init: {difference}",
        )
    unbake(loaded, card.temperature)
    model.set_weights(loaded.get_weights())
    return card


def load_network(place: str) -> tuple[ModelCard, keras.Model]:
    """Return a bundle's card and its network; raise UserError if it is missing or damaged."""
    card, data = _read_verified(place)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, bundle.KERAS_MODEL)
        path.write_bytes(data)
        return card, _load(path, place)


def _load(path: pathlib.Path, place: str) -> keras.Model:
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the layers that a file names do
        if "safe_mode" in str(error):
            raise UserError(
                f"{bundle.KERAS_MODEL} holds code, such as a Lambda layer, which is refused",
                value=place,
                hint="use only Keras's own layers, and train it again",
            ) from error
        _refuse(place, f"{bundle.KERAS_MODEL} cannot be loaded: {first_line(error)}")
    if not isinstance(model, keras.Model):
        _refuse(place, f"{bundle.KERAS_MODEL} holds no network")
    return model


def load_teacher(teacher: Teacher | None) -> keras.Model | None:
    """Return a teacher's network, not trainable, or None; raise UserError if its bundle is damaged."""
    if teacher is None:
        return None
    _, network = load_network(teacher.place)
    network.trainable = False
    return network


def read_model_card(place: str) -> ModelCard:
    """Return the card of a bundle; raise UserError if it is missing or damaged."""
    try:
        return ModelCard.from_json(read_card(place).decode())
    except ValueError as error:
        _refuse(place, f"its {bundle.CARD} cannot be read: {error}")


def _read_verified(place: str) -> tuple[ModelCard, bytes]:
    card = read_model_card(place)
    if bundle.KERAS_MODEL not in card.files:
        _refuse(place, f"its card names no {bundle.KERAS_MODEL}")
    data = read_bundle_file(place, bundle.KERAS_MODEL)
    # Keras loads damaged weights silently.
    if hashlib.sha256(data).hexdigest() != card.files[bundle.KERAS_MODEL]:
        _refuse(place, f"{bundle.KERAS_MODEL} is not the file that the card names")
    return card, data


def _refuse(place: str, why: str) -> NoReturn:
    raise UserError(
        "the model bundle is damaged",
        value=place,
        hint=f"copy or train it again: {why}",
    )


def _difference(theirs: keras.Model, ours: keras.Model) -> str:
    """Describe the first difference of two architectures; empty if there is none."""
    their_layers, our_layers = _layers(theirs), _layers(ours)
    for number, (their, our) in enumerate(zip(their_layers, our_layers, strict=False), start=1):
        if _described(their) != _described(our):
            return f"its layer {number} is {_in_words(their, our)}, the recipe's {_in_words(our, their)}"
    if len(their_layers) != len(our_layers):
        return f"it has {len(their_layers)} layers, the recipe {len(our_layers)}"
    return ""


def _layers(model: keras.Model) -> list[keras.Layer]:
    """Return the layers in order, nested networks flattened."""
    found: list[keras.Layer] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += _layers(layer)
        # A baked temperature can turn a sequential model into a functional one, which lists its input.
        elif not isinstance(layer, keras.layers.InputLayer):
            found.append(layer)
    return found


def _described(layer: keras.Layer) -> dict[str, Any]:
    described = {"layer": type(layer).__name__, "weights": [tuple(weight.shape) for weight in layer.weights]}
    config = {
        name: value
        for name, value in layer.get_config().items()
        if name not in _IGNORED_SETTINGS and not name.endswith(_IGNORED_SUFFIXES)
    }
    # Through JSON, since a saved tuple is loaded as a list.
    return json.loads(json.dumps(described | config, default=str))


def _in_words(layer: keras.Layer, other: keras.Layer) -> str:
    mine, others = _described(layer), _described(other)
    if mine["layer"] != others["layer"]:
        return mine["layer"]
    settings = ", ".join(f"{name}={value}" for name, value in mine.items() if others.get(name) != value)
    return f"{mine['layer']}({settings})"
