"""Lists, reads and writes files: local folders and object stores as equals.

Names are loaded when they are first used: clients of object stores take half a second to import.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from digitmill.storage.interface import OutputFolder
    from digitmill.storage.places import list_place, open_folder
    from digitmill.storage.reader import ImageReader

__all__ = ["ImageReader", "OutputFolder", "list_place", "open_folder"]

_MODULES = {
    "ImageReader": "digitmill.storage.reader",
    "OutputFolder": "digitmill.storage.interface",
    "list_place": "digitmill.storage.places",
    "open_folder": "digitmill.storage.places",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
