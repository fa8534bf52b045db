"""Fails where a module, a function or a folder has grown beyond what a newcomer reads at once.

Usage: python -m tests.code_limits [FOLDER]...
"""

import ast
import collections
import pathlib
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

PACKAGES: Final = ("digitmill", "pipelines", "schemas", "trainer")
MODULE_LINES: Final = 400
FUNCTION_LINES: Final = 60
MEDIAN_LINES: Final = 8
"""Of all functions; as the following."""
NINETIETH_LINES: Final = 25
FOLDER_MODULES: Final = 14
"""Apart from `__init__.py`."""
SHARED_NAMES: Final = frozenset({"__init__", "__main__", "conftest"})
"""What many modules may be called."""


def read_sources(folders: Iterable[str]) -> dict[pathlib.PurePath, str]:
    """Return the text of every module in the folders, by its path."""
    paths = sorted(path for folder in folders for path in pathlib.Path(folder).rglob("*.py"))
    return {path: path.read_text(encoding="utf-8") for path in paths}


def function_lengths(source: str) -> Iterator[tuple[str, int]]:
    """Yield each function's name and its lines, docstring included, decorators not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def quantiles(lengths: Sequence[int]) -> tuple[int, int]:
    """Return median and 90th percentile, each a length that occurs."""
    ordered = sorted(lengths)
    return statistics.median_low(ordered), ordered[(len(ordered) * 9 - 1) // 10]


def faults(sources: Mapping[pathlib.PurePath, str]) -> Iterator[str]:
    """Yield what is beyond a limit, a line each.

    Args:
        sources: every module's text, by its path.
    """
    for path, source in sources.items():
        yield from _faults_of_module(path, source)
    yield from _faults_of_folders([path for path in sources if path.stem != "__init__"])
    median, ninetieth = quantiles(_all_lengths(sources))
    if median > MEDIAN_LINES or ninetieth > NINETIETH_LINES:
        yield f"functions: the median may be {MEDIAN_LINES} lines, the 90th percentile {NINETIETH_LINES}"


def _faults_of_module(path: pathlib.PurePath, source: str) -> Iterator[str]:
    lines = source.count("\n")
    if lines > MODULE_LINES:
        yield f"{path}: {lines} lines; a module has at most {MODULE_LINES}"
    for name, length in function_lengths(source):
        if length > FUNCTION_LINES:
            yield f"{path}: {name} has {length} lines; a function has at most {FUNCTION_LINES}"


def _faults_of_folders(modules: Sequence[pathlib.PurePath]) -> Iterator[str]:
    for folder, count in collections.Counter(path.parent for path in modules).items():
        if count > FOLDER_MODULES:
            yield f"{folder}: {count} modules; a folder has at most {FOLDER_MODULES}"
    for name, count in collections.Counter(path.stem for path in modules).items():
        if count > 1 and name not in SHARED_NAMES:
            paths = ", ".join(str(path) for path in modules if path.stem == name)
            yield f"{paths}: one name, {count} modules"


def _all_lengths(sources: Mapping[pathlib.PurePath, str]) -> list[int]:
    return [length for source in sources.values() for _, length in function_lengths(source)] or [0]


def main(folders: Sequence[str]) -> int:
    """Print faults and figures; return the exit code."""
    sources = read_sources(folders)
    found = list(faults(sources))
    for fault in found:
        print(fault)
    lengths = _all_lengths(sources)
    median, ninetieth = quantiles(lengths)
    print(
        f"{len(sources):,} modules, {len(lengths):,} functions: "
        f"median {median} lines, 90th percentile {ninetieth}, longest {max(lengths)}"
    )
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or PACKAGES))
