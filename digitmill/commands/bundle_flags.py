"""Flags of the verbs that open a model bundle."""

import pathlib
from typing import Any

import click
from cloup import OptionGroup

from digitmill.commands.options import Effect, flag
from digitmill.default_model import SHIPPED_MODEL
from schemas.model.bundle import EngineKind


def model(*, group: OptionGroup) -> Any:
    """Return the field `model: pathlib.Path`."""
    return flag(
        "Bundle folder that `digitmill train` wrote.  [default: the one that comes with digitmill]",
        group=group,
        metavar="BUNDLE",
        type=click.Path(path_type=pathlib.Path),
        fallback=SHIPPED_MODEL,
        show_default=False,
        effect=Effect.RUN,
    )


def engine(*more: str, group: OptionGroup) -> Any:
    """Return the field `engine: str`: one of those that score, or of more that the verb has."""
    return flag(
        "Engine for the model; auto is saved_model if TensorFlow sees a GPU, else the bundle's default.",
        group=group,
        type=click.Choice([*map(str, EngineKind), *more]),
        default=str(EngineKind.AUTO),
    )
