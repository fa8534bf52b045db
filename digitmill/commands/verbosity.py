"""How much a verb prints while it works: `--quiet` drops progress, `--verbose` adds library logs."""

import contextlib
import logging
import os
from collections.abc import Iterator

from digitmill.native_log import LEVEL

_state = {"quiet": False}
"""Of the process: a verb runs once at a time, and its threads show progress, too."""


def is_quiet() -> bool:
    """Whether to print only errors, warnings and the JSON result."""
    return _state["quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Context manager in which standard output is dropped and no progress is shown."""
    before = _state["quiet"]
    _state["quiet"] = True
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        _state["quiet"] = before


@contextlib.contextmanager
def verbose() -> Iterator[None]:
    """Context manager in which libraries, including TensorFlow, log INFO and above to standard error."""
    os.environ.setdefault(LEVEL, "0")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
