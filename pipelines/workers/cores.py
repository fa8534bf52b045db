"""How many worker processes this machine has room for."""

import math
import os
import pathlib
from typing import Final

import psutil

WORKER_BYTES: Final = 384 * 2**20
"""Memory to have for each worker process: twice what one takes with a small model."""

_GROUPS: Final = pathlib.Path("/sys/fs/cgroup")


def usable_cores(
    groups: pathlib.Path = _GROUPS, membership: pathlib.Path = pathlib.Path("/proc/self/cgroup")
) -> int:
    """Returns how many cores this process may keep busy: by its affinity and by its control groups.

    Args:
        groups: where control groups are mounted.
        membership: which of them this process is in.
    """
    allowed = len(os.sched_getaffinity(0))
    quotas = [quota for quota in (_quota(folder) for folder in _groups_of(groups, membership)) if quota]
    # Half a core's quota is one process; 1.5 are two, which then share it.
    return max(1, min([allowed, *map(math.ceil, quotas)]))


def worker_processes(cores: int | None = None, available: int | None = None) -> int:
    """Returns how many worker processes are worth their while here: one a core, as memory allows.

    Args:
        cores: that may be kept busy; found out when None.
        available: bytes of memory that are free; found out when None.
    """
    cores = usable_cores() if cores is None else cores
    available = psutil.virtual_memory().available if available is None else available
    return max(1, min(cores, available // WORKER_BYTES))


def _groups_of(groups: pathlib.Path, membership: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folders of the process's control groups, each with all that it lies in."""
    folders = []
    for line in _lines(membership):
        _, controllers, path = line.split(":", 2)
        top = groups / "cpu" if "cpu" in controllers.split(",") else groups
        here = top / path.strip("/")
        folders += [here, *(folder for folder in here.parents if folder.is_relative_to(top))]
    return folders


def _quota(folder: pathlib.Path) -> float | None:
    """Returns how many cores a control group allows; None where it sets no bound."""
    # Version 2: "200000 100000" or "max 100000"; version 1: two files, -1 for no bound.
    fields = " ".join(_lines(folder / "cpu.max")).split() or [
        *_lines(folder / "cpu.cfs_quota_us"),
        *_lines(folder / "cpu.cfs_period_us"),
    ]
    if len(fields) != 2 or not all(field.strip().isdigit() for field in fields) or not int(fields[1]):
        return None
    return int(fields[0]) / int(fields[1])


def _lines(path: pathlib.Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []
