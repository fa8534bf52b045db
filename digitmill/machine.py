"""How many CPUs and how much memory this process may use.

`os.cpu_count()` and `psutil.virtual_memory()` describe the host. In a container or a batch job, the control
groups (cgroups) of the process may allow less, and so may its CPU affinity and its ulimits. A cgroup is bound
by its own limit and by those of all groups above it, so the tightest limit counts. Slurm may set a memory
limit that no cgroup enforces, and kill the job if it takes more.

    cpu_count()             CPUs that threads and processes started here can keep busy
    total_memory()          bytes that this process and its children may take, all in all
    available_memory()      bytes that they may take in addition to what is in use now
    available_in_process()  bytes that this process may take by itself

Each function takes a `root`: the folder that holds `proc/` and `sys/`, so that tests can pass stand-ins.
"""

import contextlib
import gc
import math
import os
import pathlib
import resource
from collections.abc import Iterator
from typing import Final

import psutil

_ROOT: Final = pathlib.Path("/")
_RARE: Final = 500_000
_MEMORY_LIMITS: Final = ("memory.max", "memory.high", "memory.limit_in_bytes")
"""Two of version 2, one of version 1. Above `memory.high` the kernel slows a process to a crawl."""

_SLURM: Final = ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE")
"""What Slurm tells a job of its memory, in MiB, and of its CPUs."""


def cpu_count(root: pathlib.Path = _ROOT) -> int:
    """Return how many CPUs this process may keep busy: the least of its affinity and its cgroups' quotas.

    A quota is rounded up: half a CPU is one, and 1.5 are two.
    """
    quotas = [quota for folder in _cgroups(root, "cpu") if (quota := _cpu_quota(folder)) is not None]
    return max(1, min([len(os.sched_getaffinity(0)), *map(math.ceil, quotas)]))


def total_memory(root: pathlib.Path = _ROOT) -> int:
    """Return the bytes that this process and its children may take: the host's memory or a cgroup's limit."""
    limits = [limit for folder in _cgroups(root, "memory") if (limit := _memory_limit(folder)) is not None]
    return min([psutil.virtual_memory().total, *limits, *_slurm_grant()])


def available_memory(root: pathlib.Path = _ROOT) -> int:
    """Return the bytes that this process and its children may take in addition, without swapping.

    In a cgroup this is the limit less the current use; file pages that the kernel can drop are not use.
    """
    left = [
        limit - _memory_use(folder)
        for folder in _cgroups(root, "memory")
        if (limit := _memory_limit(folder)) is not None
    ]
    granted = [grant - psutil.Process().memory_info().rss for grant in _slurm_grant()]
    return max(0, min([psutil.virtual_memory().available, *left, *granted]))


def available_in_process(root: pathlib.Path = _ROOT) -> int:
    """Return the bytes that this process may use: `available_memory` within its ulimits."""
    used = psutil.Process().memory_info()
    bounds = [
        limit - use
        for kind, use in ((resource.RLIMIT_AS, used.vms), (resource.RLIMIT_DATA, used.data))
        if (limit := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY
    ]
    return max(0, min([available_memory(root), *bounds]))


def _cgroups(root: pathlib.Path, controller: str) -> Iterator[pathlib.Path]:
    """Yield the folders of the cgroups that control this process's use of something, and all above them.

    In a container the path may be the one that the host knows, of which only the topmost folder is mounted.
    """
    mounted = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2, perhaps beside version 1
            tops = [mounted, mounted / "unified"]
        elif controller in controllers.split(","):
            tops = [mounted / controller]
        else:
            continue
        for top in tops:
            folder = top / path.strip("/")
            yield from (each for each in (folder, *folder.parents) if each.is_relative_to(top))


def _cpu_quota(folder: pathlib.Path) -> float | None:
    """Return how many CPUs a cgroup allows; None if it sets no limit."""
    # Version 2: "200000 100000" or "max 100000"; version 1: two files, -1 for no limit.
    fields = " ".join(_lines(folder / "cpu.max")).split() or [
        *_lines(folder / "cpu.cfs_quota_us"),
        *_lines(folder / "cpu.cfs_period_us"),
    ]
    if len(fields) != 2 or not all(field.strip().isdigit() for field in fields) or not int(fields[1]):
        return None
    return int(fields[0]) / int(fields[1])


def _memory_limit(folder: pathlib.Path) -> int | None:
    """Return the bytes that a cgroup allows; None if it sets no limit.

    Version 2 writes `max` for no limit, version 1 a number of almost 2**63, beyond any host's memory.
    """
    limits = [_number(folder / name) for name in _MEMORY_LIMITS]
    # Of version 1, in a container: the least of the groups above too, whose folders are not mounted there.
    limits.append(_memory_stat(folder).get("hierarchical_memory_limit"))
    return min((limit for limit in limits if limit is not None), default=None)


def _slurm_grant() -> list[int]:
    """Return the bytes that Slurm granted this job on this node, if it says so; 0 there means all."""
    number = {name: int(text) for name in _SLURM if (text := os.environ.get(name, "")).isdigit()}
    per_node, per_cpu, cpus = (number.get(name, 0) for name in _SLURM)
    megabytes = per_node or per_cpu * cpus
    return [megabytes * 2**20] if megabytes else []


def _memory_use(folder: pathlib.Path) -> int:
    """Return the bytes that the processes of a cgroup and of those below it take, without file pages."""
    used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
    stat = _memory_stat(folder)
    # Only the `total_` figures of version 1 include the groups below.
    pages = sum(stat.get(f"total_{name}", stat.get(name, 0)) for name in ("active_file", "inactive_file"))
    return max(0, used - pages)


def _memory_stat(folder: pathlib.Path) -> dict[str, int]:
    pairs = [line.split() for line in _lines(folder / "memory.stat")]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(path: pathlib.Path) -> int | None:
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdigit() else None


def _lines(path: pathlib.Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Context manager that makes Python collect cycles after half a million new objects, not 700.

    Where millions of tuples are alive for a moment, that takes two fifths of the time and finds nothing.
    """
    before = gc.get_threshold()
    gc.set_threshold(_RARE, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
