"""The command of a training job, as one would type it, from its options."""

import dataclasses
import shlex

from trainer.options import TrainOptions

_OF_NO_MATTER = frozenset({"output", "resume"})
"""What the model does not depend on."""


def command_of(options: TrainOptions) -> str:
    """Returns the `digitmill train` command that gives these options, with an output folder called run."""
    words = ["digitmill", "train"]
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name not in _OF_NO_MATTER and value != field.default:
            words += _spelled(f"--{field.name.replace('_', '-')}", value)
    return shlex.join([*words, "--output", "run"])


def _spelled(flag: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    values = value if isinstance(value, tuple) else (value,)
    return [word for each in values for word in (flag, str(each))]
