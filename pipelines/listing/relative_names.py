"""Names of images relative to the inputs of their run: as people know them, and as `--field` matches them."""

import dataclasses
import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

from digitmill.storage.names import RealNames, folder_of, path_of, printable, uri_in
from digitmill.storage.patterns import has_magic, literal_prefix

LIST_FOLDERS: Final = "list_folders"
"""Setting of a run with an input list: the folders that its relative names count from, as a JSON list."""

_NO_FOLDERS: Final = frozenset({"gs://", "s3://", "az://", ""})

_UNSAFE: Final = tuple("=+-@\t\r")
"""First characters that spreadsheets take for those of a formula."""


@dataclasses.dataclass(frozen=True)
class RelativeNames:
    """Names images relative to the innermost of a run's inputs that they are in.

    Attributes:
        inputs: places as a plan has them. Of a folder, names count from itself; of a file, from its folder;
            of a pattern, from the folder that it looks into.
        lists: further folders that names count from: those of input lists.
    """

    inputs: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()

    @classmethod
    def of(cls, inputs: Iterable[str], settings: Mapping[str, Any]) -> Self:
        """Return the names of a run, by the inputs of its plan and its settings."""
        return cls(tuple(inputs), tuple(json.loads(str(settings.get(LIST_FOLDERS) or "[]"))))

    def name_of(self, uri: str) -> str | None:
        """Return an image's name relative to its input, as text; None where it is in no input."""
        whole = text_of(uri)
        start = self._start(whole, _folder(whole))
        return None if start is None else whole[start:]

    def paths(self, uris: Sequence[str]) -> list[str]:
        """Return the column `path` of images: relative names, or whole ones of images that are in no input.

        One that a spreadsheet would take for a formula begins with `./`, which leads to the same file.
        """
        # By folders, of which a batch has few: a call for each image would take three times as long.
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

    def _path(self, uri: str) -> str:
        name = self.name_of(uri)
        return _safe(text_of(uri) if name is None else name)

    def _path_of_folder(self, folder: str) -> str | None:
        """Return what the paths of a folder's images begin with; None where it differs among them."""
        whole = text_of(folder)
        if "!" in whole or whole in self._file_folders:
            return None
        name = whole[self._folder_start(whole) :]
        return _safe(name) if name else ""

    def _start(self, whole: str, folder: str) -> int | None:
        start = self._file_start(whole)
        return self._folder_start(folder) if start is None else start

    def _file_start(self, whole: str) -> int | None:
        """Return where the name of an image begins that is an input, or a part of one; None for others."""
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


def list_folders(given: str | None) -> str:
    """Return the setting `LIST_FOLDERS` of a run with this input list; empty without one."""
    if not given:
        return ""
    folder = folder_of(RealNames()[uri_in("name", given)])
    return json.dumps([text_of(folder)], ensure_ascii=False)


def text_of(uri: str) -> str:
    """Return the path of a `file://` URI as text, with bytes that are no UTF-8 as escapes; others as is."""
    if not uri.startswith("file:"):
        return uri
    # Nearly no name needs it, and it takes ten times as long.
    return printable(os.fsdecode(path_of(uri))) if "%" in uri else uri.removeprefix("file://")


def _safe(name: str) -> str:
    return f"./{name}" if not name or name.startswith(_UNSAFE) else name


def _folder(name: str) -> str:
    return name[: name.rfind("/") + 1]
