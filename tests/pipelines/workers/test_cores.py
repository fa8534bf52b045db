import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.workers.cores import WORKER_BYTES, usable_cores, worker_processes

GB = 2**30


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def cores(tmp_path: pathlib.Path, membership: str, files: dict[str, str]) -> int:
    """The cores that may be used under control groups whose files say so."""
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text)
    (tmp_path / "membership").write_text(membership)
    return usable_cores(tmp_path / "groups", tmp_path / "membership")


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
        ("0::/\n", {"cpu.max": "nonsense\n"}, 8),
        ("0::/\n", {"cpu.max": "100000 0\n"}, 8),
        ("0::/\n", {}, 8),
        ("", {}, 8),
    ],
)
def test_affinity_and_every_control_group_above_count(
    eight_cores: None, tmp_path: pathlib.Path, membership: str, files: dict[str, str], expected: int
) -> None:
    assert cores(tmp_path, membership, files) == expected


def test_where_there_are_no_control_groups_affinity_counts(eight_cores: None, tmp_path: pathlib.Path) -> None:
    assert usable_cores(tmp_path / "none", tmp_path / "neither") == 8


def test_this_machine_has_a_core() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    assert 1 <= worker_processes() <= usable_cores()


@given(st.integers(1, 512), st.integers(0, 2**45))
def test_each_process_has_a_core_and_memory_and_there_is_always_one(cores: int, available: int) -> None:
    count = worker_processes(cores, available)
    assert 1 <= count <= cores
    assert count == 1 or count * WORKER_BYTES <= available
    assert count == cores or (count + 1) * WORKER_BYTES > available
