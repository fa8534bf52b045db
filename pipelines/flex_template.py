"""The Dataflow Flex Template: makes its metadata from the flags, and flags from the launcher's arguments.

`python -m pipelines.flex_template metadata` prints the metadata. The launcher image runs `launch` with the
job's arguments.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from digitmill import commands
from pipelines.score.score_command import score

_BY_HAND: Final = ("dry_run", "sign", "beam_flags", "config", "json", "quiet", "verbose", "help")
"""Flags for people at a terminal."""

_NOT_ON_DATAFLOW: Final = ("workers", "stall_timeout")
"""Flags about processes of this machine, and about a launcher that waits."""

_PLACES: Final = {
    "inputs": "GCS_READ_FOLDER",
    "output": "GCS_WRITE_FOLDER",
    "model": "GCS_READ_FOLDER",
    "challenger": "GCS_READ_FOLDER",
    "since": "GCS_READ_FOLDER",
    "state": "GCS_READ_FOLDER",
    "input_list": "GCS_READ_FILE",
}
_DEFAULT_KIND: Final = "TEXT"
_REQUIRED: Final = ("inputs", "output")


WORKER_IMAGE: Final = "DIGITMILL_WORKER_IMAGE"
"""Environment variable in which the launcher's image names the one that it was made from."""

_WORKERS: Final = ("--sdk_container_image", "--setup_file")
"""Flags that say where workers get digitmill from."""


def metadata() -> dict[str, Any]:
    """Return the template's metadata: one parameter per flag of `digitmill score`."""
    return {
        "name": "digitmill score",
        "description": "Scores every image of a folder and accounts for each: predicted once, or failed "
        "with a reason. Reports and manifest are made by `digitmill score --resume` when the job is done.",
        "parameters": [_parameter(option) for option in _options()],
    }


def to_flags(arguments: Sequence[str]) -> list[str]:
    """Return the launcher's arguments as command-line flags.

    A template passes everything as `--NAME=VALUE`: a flag without a value as true or false, and a repeatable
    flag as one value with commas.
    """
    options = {_flag(option): option for option in _options()}
    flags: list[str] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        option = options.get(name)
        if option is None or not equals:
            flags.append(argument)
        elif option.is_flag:
            flags += [name] if value.lower() == "true" else []
        elif option.multiple:
            flags += [word for each in value.split(",") for word in (name, each)]
        else:
            flags += [name, value]
    return flags


def with_workers(flags: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the flags, with the workers' image added unless they already choose one."""
    image = environment.get(WORKER_IMAGE, "")
    if not image or any(flag.partition("=")[0] in _WORKERS for flag in flags):
        return list(flags)
    return [*flags, f"--sdk_container_image={image}"]


def _options() -> Iterator[click.Option]:
    for option in score.params:
        if isinstance(option, click.Option) and option.name not in (*_BY_HAND, *_NOT_ON_DATAFLOW):
            yield option


def _flag(option: click.Option) -> str:
    return next(name for name in option.opts if name.startswith("--"))


def _parameter(option: click.Option) -> dict[str, Any]:
    name = str(option.name)
    found: dict[str, Any] = {
        "name": _flag(option).removeprefix("--"),
        "label": _flag(option).removeprefix("--").replace("-", " ").capitalize(),
        "helpText": " ".join((option.help or "").partition("  [")[0].split()),
        "paramType": _PLACES.get(name, _DEFAULT_KIND),
        "isOptional": name not in _REQUIRED,
    }
    if option.is_flag:
        found["regexes"] = ["^(true|false)$"]
    elif isinstance(option.type, click.Choice):
        found["regexes"] = [f"^({'|'.join(option.type.choices)})$"]
    elif isinstance(option.type, click.types.IntParamType):
        found["regexes"] = ["^[0-9]+$"]
    elif isinstance(option.type, click.types.FloatParamType):
        found["regexes"] = [r"^[0-9]*\.?[0-9]+$"]
    return found


def main(arguments: Sequence[str]) -> None:
    """Print the metadata, or launch the job."""
    what, *rest = arguments
    if what == "metadata":
        print(json.dumps(metadata(), indent=2))
        return
    commands.main(score, with_workers(to_flags(rest), os.environ))


if __name__ == "__main__":
    main(sys.argv[1:])
