"""Parses `--data` values and opens their sources. A new kind of source gets its line here."""

import dataclasses
import difflib
import importlib
import math
import os
import re
from collections.abc import Sequence
from typing import Final

from digitmill.extras import require
from digitmill.storage.names import check_found, near_path
from schemas.errors import UserError
from trainer.data.reading import ReadOptions, Source

_KINDS: Final = (
    "sample",
    "tfds:NAME",
    "folder:PATH",
    "labels:FILE.csv",
    "idx:DIR",
    "tfrecord:GLOB",
    "fonts:[FONTS]",
    "not-digits:[FONTS]",
)
_WEIGHT: Final = re.compile(r"(?P<spec>.*)@(?P<weight>[0-9.eE+-]*[0-9.][0-9.eE+-]*)", re.DOTALL)


def open_source(spec: str, reading: ReadOptions | None = None) -> Source:
    """Return the source of a `--data` value, without reading images or importing TensorFlow.

    Args:
        spec: `sample`, or a kind, a colon and what its source takes.
        reading: how to read it.

    Raises:
        UserError: if the value is unknown, or the source is seen to be unusable.
    """
    kind, colon, name = spec.partition(":")
    if spec == "sample":
        from trainer.data.sources.embedded_sample import SampleSource

        return SampleSource()
    if kind in _SOURCES and (name or (colon and kind in _NAMELESS)):
        if kind in _NEEDED:
            require(_NEEDED[kind], wanted=f"--data {spec}")
        module, source = _SOURCES[kind]
        found = importlib.import_module(f"trainer.data.sources.{module}")
        return getattr(found, source)(name, reading)
    raise _unknown(spec)


_SOURCES: Final = {
    "tfds": ("catalog", "CatalogSource"),
    "folder": ("folder", "FolderSource"),
    "labels": ("labels_file", "LabelsSource"),
    "idx": ("idx", "IdxSource"),
    "tfrecord": ("tfrecord_source", "RecordsSource"),
    "fonts": ("drawn", "FontsSource"),
    "not-digits": ("drawn", "NotDigitsSource"),
}
"""Module and class of each kind of source with a colon; imported when used."""

_NEEDED: Final = {
    "tfds": "tensorflow_datasets",
    "fonts": "matplotlib",
    "not-digits": "matplotlib",
}
"""Modules of extras that kinds of sources need."""

_PLACES: Final = {"folder": "folder", "labels": "labels file", "idx": "folder"}
"""Kinds that name one file or folder, and what that is."""

_NAMELESS: Final = frozenset({"fonts", "not-digits"})
"""Kinds that need nothing after the colon."""


def open_sources(specs: str | Sequence[str], reading: ReadOptions | None = None) -> Source:
    """Return the source for `--data` values, a mixture of several; raise UserError if one can't be used."""
    given = [specs] if isinstance(specs, str) else list(specs)
    if twice := next((spec for spec in given if given.count(spec) > 1), None):
        raise UserError("--data names a source twice", value=twice, hint="give it once, with @WEIGHT")
    weighted = [split_weight(spec) for spec in given]
    reading = reading or ReadOptions()
    # In a mixture, one source may have what another lacks.
    each = reading if len(given) == 1 else dataclasses.replace(reading, complete=False)
    sources = [open_source(spec, each) for spec, _ in weighted]
    if len(sources) == 1:
        return sources[0]
    from trainer.data.sources.mixture import MixedSource

    return MixedSource(sources, [weight for _, weight in weighted], reading=reading)


def split_weight(spec: str) -> tuple[str, float]:
    """Return a `--data` value without its `@WEIGHT`, and the weight, by default 1; it must be positive.

    A number after the last `@` is a weight: add `@1` to a name that ends in one.
    """
    found = _WEIGHT.fullmatch(spec)
    if not found:
        return spec, 1.0
    try:
        weight = float(found["weight"])
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise UserError(
            "the weight of a source is not a positive number", value=spec, hint="write SOURCE@2 or SOURCE@0.5"
        )
    return found["spec"], weight


def _unknown(spec: str) -> UserError:
    return UserError("unknown kind of --data", value=spec, hint=_remedy(spec, spec.partition(":")[1]))


def _remedy(spec: str, colon: str) -> str:
    if not colon and (place := spec if os.path.lexists(spec) else near_path(spec)):
        return f"did you mean {_kind_of(place)}:{place}?"
    if not colon and spec.endswith(".csv"):
        return f"for a CSV of path,label, write labels:{spec}"
    if not colon and "/" in spec:
        return f"for a folder of images, write folder:{spec}"
    if close := difflib.get_close_matches(
        spec, ("sample", "tfds:mnist", "folder:", "fonts:", "not-digits:"), n=1
    ):
        return f"did you mean {close[0]}?"
    kinds = f"give {', '.join(_KINDS[:-1])} or {_KINDS[-1]}"
    return f"for the TensorFlow data set of that name, write tfds:{spec}" if not colon and spec else kinds


def _kind_of(place: str) -> str:
    """Return the kind of source that an existing file or folder looks like."""
    if os.path.isdir(place):
        return "idx" if any(name.startswith("train-images") for name in os.listdir(place)) else "folder"
    return "tfrecord" if ".tfrecord" in os.path.basename(place) else "labels"


def check_places(specs: str | Sequence[str]) -> None:
    """Raise UserError for `--data` values of an unknown kind, and for missing local files and folders."""
    for given in [specs] if isinstance(specs, str) else specs:
        spec, _ = split_weight(given)
        kind, colon, place = spec.partition(":")
        if spec != "sample" and not (kind in _SOURCES and (place or (colon and kind in _NAMELESS))):
            raise _unknown(spec)
        if kind in _PLACES:
            check_found(place, f"{_PLACES[kind]} of --data")
