"""How much memory images may take."""

import pathlib
from typing import Final

import psutil

SHARE: Final = 0.25
"""Share of the available memory that a source's images may take: the input pipeline copies them once."""

_CGROUP: Final = pathlib.Path("/sys/fs/cgroup")
_LIMITS: Final = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Files of a container's limit and use, version 2 and version 1."""


def budget() -> int:
    """Returns the bytes that images may take in this process."""
    return int(SHARE * available())


def available(cgroup: pathlib.Path = _CGROUP) -> int:
    """Returns the bytes that can be had without swapping, within the container's limit."""
    # psutil knows the machine's memory, not the container's.
    found = psutil.virtual_memory().available
    for limit, used in _LIMITS:
        try:
            left = int((cgroup / limit).read_text()) - int((cgroup / used).read_text())
        except (OSError, ValueError):  # ValueError: the limit is the word max
            continue
        found = min(found, max(0, left))
    return found
