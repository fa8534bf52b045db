import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill import machine

GB = 2**30
UNLIMITED = f"{2**63 - 4096}\n"
"""What version 1 writes for no limit: the greatest whole number of pages."""

Root = Callable[[str, dict[str, str]], pathlib.Path]


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Root:
    """Make the folder that stands in for `/` from a process's groups and the files of the groups."""

    def make(membership: str, files: dict[str, str]) -> pathlib.Path:
        groups = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
        for name, text in (groups | {"proc/self/cgroup": membership}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of eight CPUs, 64 GB in all and 32 GB free, outside of Slurm."""
    for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    memory = psutil.virtual_memory()._replace(total=64 * GB, available=32 * GB)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 8),
        ("0::/pod/job\n", {"pod/cpu.max": "300000 100000\n", "pod/job/cpu.max": "max 100000\n"}, 3),
        ("0::/pod/job\n", {"pod/cpu.max": "300000 100000\n", "pod/job/cpu.max": "100000 100000\n"}, 1),
        ("0::/seen/outside/only\n", {"cpu.max": "400000 100000\n"}, 4),
        (
            "4:memory:/\n1:cpu,cpuacct:/job\n0::/\n",
            {"cpu/job/cpu.cfs_quota_us": "250000\n", "cpu/job/cpu.cfs_period_us": "100000\n"},
            3,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ("1:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 8),
        ("0::/\n", {"cpu.max": "100000 0\n"}, 8),
        ("0::/\n", {}, 8),
        ("", {}, 8),
    ],
)
def test_cpus_are_the_least_of_affinity_and_every_quota(
    host: None, root: Root, membership: str, files: dict[str, str], expected: int
) -> None:
    assert machine.cpu_count(root(membership, files)) == expected


V1 = "4:memory:/\n1:cpu,cpuacct:/elsewhere\n0::/\n"


@pytest.mark.parametrize(
    ("membership", "files", "total", "available"),
    [
        ("0::/\n", {}, 64, 32),
        ("", {}, 64, 32),
        ("0::/\n", {"memory.max": "max\n", "memory.current": f"{GB}\n"}, 64, 32),
        ("0::/\n", {"memory.max": "nonsense\n"}, 64, 32),
        ("0::/\n", {"memory.max": f"{2 * GB}\n", "memory.current": f"{GB}\n"}, 2, 1),
        ("0::/\n", {"memory.max": f"{2 * GB}\n"}, 2, 2),
        ("0::/\n", {"memory.max": f"{2 * GB}\n", "memory.current": f"{3 * GB}\n"}, 2, 0),
        # The host has less left than the group may still take.
        ("0::/\n", {"memory.max": f"{60 * GB}\n", "memory.current": f"{GB}\n"}, 60, 32),
        ("0::/\n", {"memory.max": f"{8 * GB}\n", "memory.high": f"{6 * GB}\n"}, 6, 6),
        # Pages of files can be dropped, those of shared memory cannot.
        (
            "0::/\n",
            {
                "memory.max": f"{8 * GB}\n",
                "memory.current": f"{7 * GB}\n",
                "memory.stat": f"anon {GB}\nfile {6 * GB}\nshmem {GB}\n"
                f"inactive_file {3 * GB}\nactive_file {2 * GB}\n",
            },
            8,
            6,
        ),
        # The tightest group above: its use is that of all groups in it.
        (
            "0::/pod/job\n",
            {
                "pod/memory.max": f"{4 * GB}\n",
                "pod/memory.current": f"{3 * GB}\n",
                "pod/job/memory.max": f"{6 * GB}\n",
                "pod/job/memory.current": f"{GB}\n",
            },
            4,
            1,
        ),
        (
            "0::/pod/job\n",
            {
                "pod/memory.max": f"{4 * GB}\n",
                "pod/memory.current": f"{GB}\n",
                "pod/job/memory.max": "max\n",
            },
            4,
            3,
        ),
        ("0::/seen/outside/only\n", {"memory.max": f"{2 * GB}\n"}, 2, 2),
        ("0::/one\n", {"other/memory.max": f"{GB}\n"}, 64, 32),
        (
            V1,
            {
                "memory/memory.limit_in_bytes": f"{4 * GB}\n",
                "memory/memory.usage_in_bytes": f"{3 * GB}\n",
                "memory/memory.stat": f"inactive_file 0\ntotal_inactive_file {GB}\ntotal_active_file {GB}\n",
            },
            4,
            3,
        ),
        (V1, {"memory/memory.limit_in_bytes": UNLIMITED, "memory/memory.usage_in_bytes": "1\n"}, 64, 32),
        (
            "4:memory:/docker/job\n",
            {
                "memory/docker/job/memory.limit_in_bytes": UNLIMITED,
                "memory/docker/job/memory.usage_in_bytes": f"{GB}\n",
                "memory/docker/memory.limit_in_bytes": f"{16 * GB}\n",
                "memory/docker/memory.usage_in_bytes": f"{6 * GB}\n",
            },
            16,
            10,
        ),
        (
            # A pod's limit, whose folder is not mounted in its container.
            V1,
            {
                "memory/memory.limit_in_bytes": UNLIMITED,
                "memory/memory.usage_in_bytes": f"{GB}\n",
                "memory/memory.stat": f"hierarchical_memory_limit {8 * GB}\n",
            },
            8,
            7,
        ),
        # Version 2 beside version 1.
        ("1:cpu:/\n0::/\n", {"unified/memory.max": f"{GB}\n"}, 1, 1),
    ],
)
def test_memory_is_the_least_of_the_host_s_and_every_limit(
    host: None, root: Root, membership: str, files: dict[str, str], total: int, available: int
) -> None:
    folder = root(membership, files)
    assert machine.total_memory(folder) == total * GB
    assert machine.available_memory(folder) == available * GB


@pytest.mark.parametrize(
    ("granted", "gigabytes"),
    [
        ({"SLURM_MEM_PER_NODE": "16384"}, 16),
        ({"SLURM_MEM_PER_CPU": "2048", "SLURM_CPUS_ON_NODE": "4"}, 8),
        ({"SLURM_MEM_PER_CPU": "2048"}, 64),
        ({"SLURM_MEM_PER_NODE": "0"}, 64),
        ({"SLURM_MEM_PER_NODE": "131072"}, 64),
    ],
)
def test_what_slurm_grants_counts(
    host: None, root: Root, monkeypatch: pytest.MonkeyPatch, granted: dict[str, str], gigabytes: int
) -> None:
    for name, value in granted.items():
        monkeypatch.setenv(name, value)
    folder = root("0::/\n", {})
    assert machine.total_memory(folder) == gigabytes * GB
    available = machine.available_memory(folder)
    # Less what this process takes already.
    assert (min(gigabytes, 32) - 4) * GB < available <= min(gigabytes, 32) * GB


@given(st.integers(0, 2**63), st.integers(0, 2**63), st.integers(0, 2**63))
def test_a_limit_never_gives_more_than_it_or_than_the_host(
    tmp_path_factory: pytest.TempPathFactory, limit: int, used: int, cached: int
) -> None:
    folder = tmp_path_factory.mktemp("root")
    files = {
        "memory.max": f"{limit}\n",
        "memory.current": f"{used}\n",
        "memory.stat": f"inactive_file {cached}\n",
    }
    (folder / "sys/fs/cgroup").mkdir(parents=True)
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text("0::/\n")
    for name, text in files.items():
        (folder / "sys/fs/cgroup" / name).write_text(text)
    assert 0 <= machine.available_memory(folder) <= min(limit, psutil.virtual_memory().total)


def test_without_cgroups_the_host_counts(host: None, tmp_path: pathlib.Path) -> None:
    assert machine.cpu_count(tmp_path) == 8
    assert machine.total_memory(tmp_path) == 64 * GB
    assert machine.available_memory(tmp_path) == 32 * GB


def test_this_machine() -> None:
    assert 1 <= machine.cpu_count() <= (os.cpu_count() or 1)
    assert 0 < machine.available_memory() <= machine.total_memory()
    assert machine.available_in_process() <= machine.total_memory()


FREE = """
import resource, psutil
from digitmill import machine

kind = resource.{kind}
used = psutil.Process().memory_info()
resource.setrlimit(kind, (used.{used} + 64 * 2**20, resource.getrlimit(kind)[1]))
print(machine.available_in_process(), machine.available_memory())
"""


@pytest.mark.parametrize(("kind", "used"), [("RLIMIT_AS", "vms"), ("RLIMIT_DATA", "data")])
def test_a_ulimit_bounds_the_process_but_not_its_children(kind: str, used: str) -> None:
    code = FREE.format(kind=kind, used=used)
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    alone, together = map(int, printed.split())
    assert 32 * 2**20 < alone <= 64 * 2**20 < together


@contextlib.contextmanager
def memory_cgroup(limit: int) -> Iterator[pathlib.Path]:
    """Context manager that gives a real cgroup below this process's own; skips where none can be made."""
    lines = pathlib.Path("/proc/self/cgroup").read_text().splitlines()
    own = {kinds: path.strip("/") for _, kinds, path in (line.split(":", 2) for line in lines)}
    mounted = pathlib.Path("/sys/fs/cgroup")
    parent = mounted / "memory" / own["memory"] if "memory" in own else mounted / own.get("", "")
    group = parent / f"digitmill-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        name = "memory.limit_in_bytes" if "memory" in own else "memory.max"
        try:
            (group / name).write_text(str(limit))
        except OSError as error:
            pytest.skip(f"the memory of a cgroup cannot be limited here: {error}")
        yield group
    finally:
        group.rmdir()


def test_in_a_real_cgroup() -> None:
    code = (
        "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(str(os.getpid()));"
        "from digitmill import machine; from pipelines.workers.choice import worker_processes;"
        "print(machine.total_memory(), machine.available_memory(), worker_processes())"
    )
    with memory_cgroup(GB) as group:
        done = subprocess.run(
            [sys.executable, "-c", code, str(group / "cgroup.procs")],
            capture_output=True,
            check=True,
            text=True,
        )
    total, available, workers = map(int, done.stdout.split())
    assert total == GB
    assert GB // 2 < available < GB
    assert workers <= 2
