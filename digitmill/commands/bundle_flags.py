"""Flags of the verbs that open a model bundle."""

import pathlib
from collections.abc import Callable

import click
from cloup import OptionGroup, option

_ENGINES = ("auto", "litert", "litert_int8", "saved_model")


def model(*, group: OptionGroup) -> Callable[[Callable], Callable]:
    """Returns the option that names the bundle."""
    return option(
        "--model",
        metavar="BUNDLE",
        type=click.Path(path_type=pathlib.Path),
        help="Bundle folder that `digitmill train` wrote.  [default: the one that comes with digitmill]",
        group=group,
    )


def engine(*more: str, group: OptionGroup) -> Callable[[Callable], Callable]:
    """Returns the option that chooses the engine, of those that score and more of the verb's own."""
    return option(
        "--engine",
        type=click.Choice([*_ENGINES, *more]),
        default="auto",
        show_default=True,
        help="What runs the model; auto is saved_model where TensorFlow sees a GPU, "
        "else the bundle's default.",
        group=group,
    )
