"""Keeps a user's own `schemas`, `pipelines` or `trainer` folder from hiding the package of that name.

Entry points call `check` before they import anything else of the project. It uses only the standard library.
"""

import importlib.util
import json
import os
import pathlib
import sys
from collections.abc import Iterable, Mapping
from typing import Final

PACKAGES: Final = ("digitmill", "pipelines", "schemas", "trainer")
"""What the project installs at the top level."""

_ROOT: Final = pathlib.Path(__file__).resolve().parents[1]
_USAGE: Final = 2
"""`ExitCode.USAGE`, which cannot be imported yet."""


def check() -> None:
    """Drop the working directory from `sys.path`, and end the process if a package is hidden.

    The working directory stays if PYTHONPATH names it, or if it contains these packages. Child processes
    inherit this setting.

    Raises:
        SystemExit: with code 2 and one line on standard error, when `sys.path` leads to other packages.
    """
    _drop_working_directory()
    hidden = hidden_packages()
    if not hidden:
        return
    error, hint = _explanation(hidden)
    print(f"digitmill: {error}. {hint}", file=sys.stderr)
    if "--json" in sys.argv:
        data = {"error": error, "value": list(map(str, hidden.values())), "hint": hint, "exit_code": _USAGE}
        print(json.dumps(data, indent=2))
    raise SystemExit(_USAGE)


def hidden_packages() -> dict[str, pathlib.Path]:
    """Return the hidden packages, by name, with the files that would be imported instead."""
    found = {name: _location(name) for name in PACKAGES}
    own = {root / name for root in (_ROOT, pathlib.Path(__file__).absolute().parents[1]) for name in PACKAGES}
    own = {path.resolve() for path in own}
    return {name: path for name, path in found.items() if path and path not in own}


def _location(name: str) -> pathlib.Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    # A folder without `__init__.py` has no origin, and may hide a package of an editable install.
    places = list(spec.submodule_search_locations or ()) or [spec.origin or ""]
    return pathlib.Path(places[0]).resolve()


def _drop_working_directory() -> None:
    try:
        here = pathlib.Path.cwd().resolve()
    except OSError:  # it was deleted
        return
    if here == _ROOT or here in _named_folders():
        return
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    # Python puts it first; an empty entry of PYTHONPATH means it, too. Behind those it may be site-packages.
    first = len(given) + 1
    sys.path[:first] = [entry for entry in sys.path[:first] if pathlib.Path(entry).resolve() != here]
    if "PYTHONPATH" in os.environ:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, given))
    if any((here / name).is_dir() or (here / f"{name}.py").is_file() for name in PACKAGES):
        # Beam starts some of its processes by `python -m`, which would find those.
        os.environ.setdefault("PYTHONSAFEPATH", "1")


def _named_folders() -> list[pathlib.Path]:
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [pathlib.Path(entry).resolve() for entry in entries if entry]


def _explanation(hidden: Mapping[str, pathlib.Path]) -> tuple[str, str]:
    """Return what is wrong, and what to do."""
    folders = dict.fromkeys(path.parent for path in hidden.values())
    by_variable = set(folders) <= set(_named_folders())
    source = "PYTHONPATH" if by_variable else "sys.path, where a .pth file or an editable install put it"
    verb, own = ("hides", "package") if len(hidden) == 1 else ("hide", "packages")
    return (
        f"{_joined(hidden.values())} {verb} digitmill's own {own} {_joined(hidden)}",
        f"Remove {_joined(folders)} from {source}, or rename what is there.",
    )


def _joined(words: Iterable[object]) -> str:
    return ", ".join(map(str, words))
