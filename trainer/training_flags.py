"""Flags that the verbs about training share, as fields of their options."""

from typing import Any, Final

import click
from cloup import OptionGroup

from digitmill.commands import Effect, flag
from digitmill.commands.parameter_types import FOLDER, FiniteRange
from trainer.recipe_names import NAMES

MAX_SEED: Final = 2**32 - 1
"""Greatest seed that NumPy, Keras and TensorFlow all take."""


def _one_or_several(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> str | tuple[str, ...]:
    del ctx, param
    return value[0] if len(value) == 1 else value


def recipe(meaning: str, *, group: OptionGroup) -> Any:
    """Return the field `recipe: str`; shells complete it."""
    return flag(
        meaning,
        group=group,
        required=True,
        metavar="NAME",
        shell_complete=lambda ctx, param, typed: [name for name in NAMES if name.startswith(typed)],
    )


def data(meaning: str, *, group: OptionGroup) -> Any:
    """Return the field `data: str | tuple[str, ...]`: one source, or several."""
    return flag(
        meaning,
        group=group,
        multiple=True,
        metavar="SOURCE[@WEIGHT]",
        fallback=("sample",),
        callback=_one_or_several,
    )


def data_dir(*, group: OptionGroup) -> Any:
    """Return the field `data_dir: str | None`."""
    return flag(
        "Where tfds: keeps prepared data, local or gs://.",
        group=group,
        type=FOLDER,
        metavar="DIR",
        effect=Effect.RUN,
    )


def seed(meaning: str, *, group: OptionGroup) -> Any:
    """Return the field `seed: int`."""
    return flag(meaning, group=group, type=click.IntRange(0, MAX_SEED), metavar="N", default=0)


def require_gpus(*, group: OptionGroup) -> Any:
    """Return the field `require_gpus: int | None`."""
    return flag(
        "Refuse to start if fewer GPUs are visible on this machine; `digitmill submit` sets it.",
        group=group,
        type=click.IntRange(min=1),
        metavar="N",
        effect=Effect.RUN,
    )


def allow_cpu(*, group: OptionGroup) -> Any:
    """Return the field `allow_cpu: bool`."""
    return flag(
        "Without a GPU, use logical CPUs for --replicas and --strategy mirrored: for tests.",
        group=group,
        default=False,
        effect=Effect.RUN,
    )


def max_bad_rate(meaning: str, *, group: OptionGroup, **more: Any) -> Any:
    """Return the field `max_bad_rate: float`, in [0, 1]."""
    return flag(meaning, group=group, type=FiniteRange(0, 1), metavar="SHARE", default=0.01, **more)


def cache_dir(meaning: str, *, group: OptionGroup) -> Any:
    """Return the field `cache_dir: pathlib.Path | None`, a folder on the machine that trains."""
    return flag(meaning, group=group, metavar="DIR", effect=Effect.RUN)
