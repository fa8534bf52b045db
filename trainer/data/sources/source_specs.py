"""Finds the sources that `--data` names."""

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Sequence
from typing import Final

from schemas.errors import UserError
from trainer.data.reading import Reading
from trainer.data.source import Source

_KINDS: Final = (
    "sample",
    "tfds:NAME",
    "folder:PATH",
    "labels:FILE.csv",
    "idx:DIR",
    "tfrecord:GLOB",
)
_WEIGHT: Final = re.compile(r"(?P<spec>.*)@(?P<weight>[0-9.eE+-]*[0-9.][0-9.eE+-]*)", re.DOTALL)


def open_source(spec: str, *, data_dir: str | None = None, reading: Reading | None = None) -> Source:
    """Returns the source that a `--data` value names; no image is read yet, no TensorFlow imported.

    Args:
        spec: `sample`, `tfds:NAME`, `folder:PATH`, `labels:FILE.csv`, `idx:DIR` or `tfrecord:GLOB`.
        data_dir: where `tfds:` keeps prepared data, local or gs://; its own default when None.
        reading: how it is read.

    Raises:
        UserError: when it names no source, or one that is seen at once to be unusable.
    """
    kind, colon, name = spec.partition(":")
    if spec == "sample":
        from trainer.data.sources.embedded_sample import SampleSource

        return SampleSource()
    if kind == "tfds" and name:
        from trainer.data.sources.catalog import CatalogSource

        return CatalogSource(name, data_dir, reading)
    if kind in _OF_FILES and name:
        return _OF_FILES[kind](name, reading or Reading())
    raise UserError(
        f"--data is {', '.join(_KINDS[:-1])} or {_KINDS[-1]}", got=spec, remedy=_remedy(spec, colon)
    )


def _open_folder(name: str, reading: Reading) -> Source:
    from trainer.data.sources.folder import FolderSource

    return FolderSource(name, reading)


def _open_labels(name: str, reading: Reading) -> Source:
    from trainer.data.sources.labels_file import LabelsSource

    return LabelsSource(name, reading)


def _open_idx(name: str, reading: Reading) -> Source:
    from trainer.data.sources.idx import IdxSource

    return IdxSource(name, reading)


def _open_records(name: str, reading: Reading) -> Source:
    from trainer.data.sources.tfrecord_source import RecordsSource

    return RecordsSource(name, reading)


_OF_FILES: Final[dict[str, Callable[[str, Reading], Source]]] = {
    "folder": _open_folder,
    "labels": _open_labels,
    "idx": _open_idx,
    "tfrecord": _open_records,
}


def open_sources(
    specs: str | Sequence[str], *, data_dir: str | None = None, reading: Reading | None = None
) -> Source:
    """Returns one source of all that `--data` names, once or several times.

    Args:
        specs: as `open_source` takes them, each with `@WEIGHT` behind it or without.
        data_dir: see `open_source`.
        reading: how they are read.

    Raises:
        UserError: when one of them cannot be used.
    """
    given = [specs] if isinstance(specs, str) else list(specs)
    if twice := next((spec for spec in given if given.count(spec) > 1), None):
        raise UserError("each --data names another source", got=twice, remedy="give it once, with @WEIGHT")
    weighted = [split_weight(spec) for spec in given]
    reading = reading or Reading()
    # What one source of a mixture lacks, another may have.
    each = reading if len(given) == 1 else dataclasses.replace(reading, complete=False)
    sources = [open_source(spec, data_dir=data_dir, reading=each) for spec, _ in weighted]
    if len(sources) == 1:
        return sources[0]
    from trainer.data.sources.mixture import MixedSource

    return MixedSource(sources, [weight for _, weight in weighted], reading=reading)


def split_weight(spec: str) -> tuple[str, float]:
    """Returns a source without its `@WEIGHT`, and the weight; 1 where none is given.

    A number behind the last `@` is a weight; a name that ends like that has `@1` put behind it.

    Raises:
        UserError: when the weight is no positive number.
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
            "a source's weight is a positive number", got=spec, remedy="write SOURCE@2 or SOURCE@0.5"
        )
    return found["spec"], weight


def _remedy(spec: str, colon: str) -> str:
    if not colon and "/" in spec:
        return f"for a folder of images, folder:{spec}"
    if not colon and spec.endswith(".csv"):
        return f"for a CSV of path,label, labels:{spec}"
    if close := difflib.get_close_matches(spec, ("sample", "tfds:mnist", "folder:"), n=1):
        return f"did you mean {close[0]}?"
    return (
        f"for the data set of that name, tfds:{spec}" if not colon and spec else "tfds:mnist is the usual one"
    )
