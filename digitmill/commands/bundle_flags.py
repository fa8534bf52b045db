"""Flags of the verbs that open a model bundle."""

from typing import Any

import click
from cloup import OptionGroup

from digitmill.commands.options import Effect, flag
from digitmill.commands.parameter_types import FOLDER
from digitmill.default_model import SHIPPED_MODEL
from schemas.model.bundle import EngineKind


def model(*, group: OptionGroup) -> Any:
    """Return the field `model: str`."""
    return flag(
        "Bundle folder that `digitmill train` wrote, local or in a bucket."
        "  [default: the one that comes with digitmill]",
        group=group,
        metavar="BUNDLE",
        type=FOLDER,
        fallback=str(SHIPPED_MODEL),
        show_default=False,
        effect=Effect.RUN,
    )


def engine(*more: str, group: OptionGroup) -> Any:
    """Return the field `engine: str`: an engine for scoring, or one of `more` that the verb offers."""
    return flag(
        "Engine for the model; auto is saved_model if TensorFlow sees a GPU, else the bundle's default, or"
        " where a run has many images the fastest that is installed.",
        group=group,
        type=click.Choice([*map(str, EngineKind), *more]),
        default=str(EngineKind.AUTO),
    )
