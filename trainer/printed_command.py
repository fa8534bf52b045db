"""The command of a training job, as one would type it, from its options."""

import dataclasses
from collections.abc import Container, Iterator, Mapping

from digitmill.commands import run_config
from digitmill.commands.command_line import command_line
from trainer.train_options import TrainOptions

_OF_NO_MATTER = frozenset({"output", "resume"})
"""What the model does not depend on."""


def run_config_of(options: TrainOptions) -> str:
    """Returns the file that gives these options, but for the output folder."""
    return run_config.to_text("train", flags_of(options))


def flags_of(options: TrainOptions) -> dict[str, object]:
    """Returns what is given of all that the model depends on, by the flags' names."""
    return {name.replace("_", "-"): value for name, value in _given(options, without=_OF_NO_MATTER)}


def resuming(options: TrainOptions) -> str:
    """Returns the command that goes on with the job."""
    return command_line("train", *_words(options, without=frozenset({"resume"})), "--resume")


def command_of(options: TrainOptions) -> str:
    """Returns the `digitmill train` command that gives these options, with an output folder called run."""
    return command_line("train", *_words(options, without=_OF_NO_MATTER), "--output", "run")


def words_of(flags: Mapping[str, object]) -> list[str]:
    """Returns flags and their values as they are typed."""
    return [word for name, value in flags.items() for word in _spelled(f"--{name}", value)]


def _words(options: TrainOptions, *, without: Container[str]) -> list[str]:
    return words_of({name.replace("_", "-"): value for name, value in _given(options, without=without)})


def _given(options: TrainOptions, *, without: Container[str]) -> Iterator[tuple[str, object]]:
    """Yields what is not the default, by field."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name not in without and value not in (field.default, ""):
            yield field.name, value


def _spelled(flag: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    values = value if isinstance(value, tuple) else (value,)
    return [word for each in values for word in (flag, str(each))]
