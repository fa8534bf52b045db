"""Fails where a module uses a part of another room that the room does not export.

A room is a folder with an `__init__.py`. Its `__all__` has the modules, and in some rooms the names, that
other rooms may import; all others are the room's own. A room inside a room is part of it, and may use all of
it.

Usage: python -m tests.room_exports [FOLDER]...
"""

import ast
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tests.code_limits import PACKAGES, read_sources

INIT: Final = "__init__"


class Use(NamedTuple):
    """An import of something in another room."""

    module: str
    room: str
    name: str


def module_name(path: pathlib.PurePath) -> str:
    """Return the dotted name of a module's file; of an `__init__.py` that of its folder."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == INIT else parts)


def exports(source: str) -> list[str]:
    """Return what `__all__` holds; nothing where there is none."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def uses(sources: Mapping[pathlib.PurePath, str]) -> Iterator[Use]:
    """Yield what each module imports of rooms other than its own and those around it."""
    rooms = {module_name(path) for path in sources if path.stem == INIT}
    for path, source in sources.items():
        module = module_name(path)
        own = f"{module}." if module in rooms else f"{module.rpartition('.')[0]}."
        for imported in _imported(source):
            part = imported
            while part and part.rpartition(".")[0] not in rooms:  # a name in a module
                part = part.rpartition(".")[0]
            room, _, name = part.rpartition(".")
            if room and part not in rooms and not own.startswith(f"{room}."):
                yield Use(module, room, name)


def faults(sources: Mapping[pathlib.PurePath, str]) -> Iterator[str]:
    """Yield a line for each import that a room does not export, and for each exported module without use.

    Args:
        sources: every module's text, by its path.
    """
    exported = {module_name(path): exports(text) for path, text in sources.items() if path.stem == INIT}
    modules = {module_name(path) for path in sources}
    found = list(uses(sources))
    for use in found:
        if use.name not in exported[use.room]:
            yield f"{use.module} imports {use.room}.{use.name}, which {use.room} does not export in __all__"
    used = {f"{use.room}.{use.name}" for use in found}
    for room, names in exported.items():
        for name in names:
            if f"{room}.{name}" in modules - used:
                yield f"{room} exports its module {name}, which no other room imports"


def _imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def main(folders: Sequence[str]) -> int:
    """Print faults; return the exit code."""
    found = sorted(set(faults(read_sources(folders))))
    for fault in found:
        print(fault)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or PACKAGES))
