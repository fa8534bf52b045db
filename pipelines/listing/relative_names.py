"""Names of images relative to their run's inputs: for people to read, and for `--field` to match."""

import dataclasses
import functools
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Self

from digitmill.storage.names import RealNames, folder_of, path_of, place_from_anywhere, printable, uri_in
from digitmill.storage.patterns import has_magic, literal_prefix
from schemas.failure import Failure

LIST_FOLDERS: Final = "list_folders"
"""Setting of a run with an input list: base folders of its relative names, as a JSON list."""

_NO_FOLDERS: Final = frozenset({"gs://", "s3://", "az://", ""})

_SLICE_ROWS: Final = 4_096

_UNSAFE: Final = tuple("=+-@\t\r")
"""First characters that spreadsheets interpret as a formula."""


@dataclasses.dataclass(frozen=True)
class RelativeNames:
    """Returns names of images relative to the innermost input that contains them.

    Attributes:
        inputs: inputs as in the plan. Names are relative to an input folder, to the folder of an input file,
            or to the folder that a pattern searches.
        lists: further base folders, from input lists.
    """

    inputs: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()

    @classmethod
    def of(cls, inputs: Iterable[str], settings: Mapping[str, Any]) -> Self:
        """Return the naming for the inputs and settings of a plan."""
        return cls(tuple(inputs), tuple(json.loads(str(settings.get(LIST_FOLDERS) or "[]"))))

    def name_of(self, uri: str) -> str | None:
        """Return an image's name relative to its input, as text; None if it is in no input."""
        whole = text_of(uri)
        start = self._start(whole, _folder(whole))
        return None if start is None else whole[start:]

    def paths(self, uris: Sequence[str]) -> list[str]:
        """Return the column `path` of images: relative names, or full names of images that are in no input.

        A name that a spreadsheet would interpret as a formula gets the prefix `./`.
        """
        # Work by folder: a batch has few, and a call for each image would take three times as long.
        folders: dict[str, str | None] = {}
        found = []
        for uri in uris:
            cut = uri.rfind("/") + 1
            folder, name = uri[:cut], uri[cut:]
            if folder not in folders:
                folders[folder] = self._path_of_folder(folder)
            before = folders[folder]
            if before is None or "%" in name:
                found.append(self._path(uri))
            else:
                found.append(before + name if before else _safe(name))
        return found

    def failure_rows(self, failures: Iterable[Failure]) -> Iterator[tuple[str, str, int, str, str]]:
        """Yield the rows of `failures.csv` and its further files, with `schemas.failure.COLUMNS`."""
        rest = iter(failures)
        while some := list(itertools.islice(rest, _SLICE_ROWS)):
            paths = self.paths([each.image for each in some])
            yield from (each.row(path) for each, path in zip(some, paths, strict=True))

    def _path(self, uri: str) -> str:
        name = self.name_of(uri)
        return _safe(text_of(uri) if name is None else name)

    def _path_of_folder(self, folder: str) -> str | None:
        """Return the common start of the paths of a folder's images; None if it differs between images."""
        whole = text_of(folder)
        if "!" in whole or whole in self._file_folders:
            return None
        name = whole[self._folder_start(whole) :]
        return _safe(name) if name else ""

    def _start(self, whole: str, folder: str) -> int | None:
        start = self._file_start(whole)
        return self._folder_start(folder) if start is None else start

    def _file_start(self, whole: str) -> int | None:
        """Return where the name starts if the image is an input file or part of one; None for others."""
        if whole in self._files:
            return len(_folder(whole))
        end = whole.find("!")
        while end >= 0:
            if whole[:end] in self._files:
                return len(_folder(whole[:end]))
            end = whole.find("!", end + 1)
        return None

    def _folder_start(self, folder: str) -> int | None:
        while folder:
            if folder in self._roots:
                return len(folder)
            folder = folder[: folder.rfind("/", 0, -1) + 1]
        return None

    @functools.cached_property
    def _files(self) -> frozenset[str]:
        return frozenset(given.rstrip("/") for given in self.inputs)

    @functools.cached_property
    def _file_folders(self) -> frozenset[str]:
        return frozenset(map(_folder, self._files))

    @functools.cached_property
    def _roots(self) -> frozenset[str]:
        folders = {f"{given.rstrip('/')}/" for given in (*self.inputs, *self.lists)}
        patterns = {_folder(literal_prefix(given)) for given in self.inputs if has_magic(given)}
        return frozenset(folders | patterns) - _NO_FOLDERS


def recorded_inputs(inputs: Iterable[str]) -> tuple[str, ...]:
    """Return inputs as a plan records them: absolute, and printable."""
    return tuple(printable(place_from_anywhere(given)) for given in inputs)


def list_folders(given: str | None) -> str:
    """Return the setting `LIST_FOLDERS` for this input list; empty without a list."""
    if not given:
        return ""
    folder = folder_of(RealNames()[uri_in("name", given)])
    return json.dumps([text_of(folder)], ensure_ascii=False)


def text_of(uri: str) -> str:
    """Return the path of a `file://` URI as text, with invalid UTF-8 escaped; return other URIs unchanged."""
    if not uri.startswith("file:"):
        return uri
    # Few names need decoding, which takes ten times as long.
    return printable(os.fsdecode(path_of(uri))) if "%" in uri else uri.removeprefix("file://")


def _safe(name: str) -> str:
    return f"./{name}" if not name or name.startswith(_UNSAFE) else name


def _folder(name: str) -> str:
    return name[: name.rfind("/") + 1]
