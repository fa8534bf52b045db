"""Flags that several jobs share, as fields of their options."""

import itertools
from collections.abc import Mapping
from typing import Any

import click
from cloup import OptionGroup

from digitmill.commands import Effect, flag
from digitmill.commands.parameter_types import FiniteRange, NameSet
from pipelines.listing.work_item import MAX_ITEM_SIZE
from schemas.layout import DEFAULT_FORMATS, Compression, Format


def with_positional_inputs(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a command line gives with the words before the first flag of Beam among the inputs.

    A word after one of Beam's flags may be that flag's value.
    """
    words = given["beam_flags"]
    places = tuple(itertools.takewhile(lambda word: not word.startswith("-"), words))
    return {**given, "inputs": (*given["inputs"], *places), "beam_flags": words[len(places) :]}


def rows_per_part(meaning: str, *, group: OptionGroup, always: bool = False) -> Any:
    """Return the field `rows_per_part: int`, which bounds prediction files."""
    return flag(meaning, group=group, type=click.IntRange(min=1), default=MAX_ITEM_SIZE, always=always)


def sign(*, group: OptionGroup) -> Any:
    """Return the field `sign: pathlib.Path | None`, which names a private key."""
    return flag(
        "Sign the manifest with this Ed25519 private key, so that verify --key can check who wrote it.",
        group=group,
        metavar="KEY.pem",
        effect=Effect.RUN,
        secret=True,
    )


def stall_timeout(*, group: OptionGroup) -> Any:
    """Return the field `stall_timeout: float | None`, in minutes."""
    return flag(
        "Stop the run, so that it can be resumed, if a runner outside this process makes no "
        "progress for this long."
        "  [default: never; it is reported after 10 minutes]",
        group=group,
        type=FiniteRange(min=0, min_open=True),
        metavar="MINUTES",
        effect=Effect.RUN,
    )


def compression(*, group: OptionGroup, always: bool = False) -> Any:
    """Return the field `compression: Compression`."""
    return flag(
        "Which prediction files are gzipped: TFRecords, all (CSVs too), or none; Parquet compresses itself.",
        group=group,
        default=Compression.RECORDS,
        always=always,
    )


def formats(*, group: OptionGroup) -> Any:
    """Return the field `format: str | None`, which `schemas.layout.parse_formats` reads."""
    return flag(
        "Formats of the prediction files, one or more.  [default: csv,tfrecord]",
        group=group,
        type=NameSet(Format, DEFAULT_FORMATS),
        metavar="csv,tfrecord,parquet",
    )


def include(*, group: OptionGroup) -> Any:
    """Return the field `include: tuple[str, ...]`."""
    return flag(
        "Take only files whose names below the input match, such as 'a/*.png' or '**/*.png'. Repeatable.",
        group=group,
        default=(),
        metavar="GLOB",
    )


def exclude(*, group: OptionGroup) -> Any:
    """Return the field `exclude: tuple[str, ...]`."""
    return flag(
        "Leave out files whose names below the input match, such as 'drafts/**'. Repeatable.",
        group=group,
        default=(),
        metavar="GLOB",
    )


def strict_listing(*, group: OptionGroup) -> Any:
    """Return the field `strict_listing: bool`."""
    return flag(
        "Stop if a folder of an input cannot be listed, instead of counting it as failed.",
        group=group,
        default=False,
        effect=Effect.RUN,
    )
