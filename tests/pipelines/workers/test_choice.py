import os
import pathlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill import machine
from digitmill.engines.engine_choice import EngineKind
from pipelines.score_options import ScoreOptions
from pipelines.workers import choice
from pipelines.workers.choice import (
    FEW_IMAGES,
    WORKER_BYTES,
    early_pool,
    known_images,
    may_compare,
    processes_for,
    ready_pool,
    worker_processes,
)
from pipelines.workers.pool import WorkerPool

MANY = FEW_IMAGES + 1


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_count", lambda: 4)
    monkeypatch.setattr(machine, "available_memory", lambda: 2**40)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of pools, which start nothing."""
    made: list[str] = []
    monkeypatch.setattr(WorkerPool, "start", lambda pool: made.append(f"start {pool.processes}"))
    monkeypatch.setattr(WorkerPool, "assign", lambda pool, task: made.append(f"assign {pool.processes}"))
    monkeypatch.setattr(WorkerPool, "close", lambda pool: made.append("close"))
    return made


@pytest.mark.parametrize(
    ("asked", "engine", "images", "items", "expected"),
    [
        (None, EngineKind.LITERT_INT8, MANY, 3, 3),
        (None, EngineKind.LITERT, 100 * MANY, 300, 4),
        (None, EngineKind.LITERT, FEW_IMAGES, 2, 1),
        (None, EngineKind.LITERT, 0, 0, 1),
        (None, EngineKind.LITERT, None, None, 4),
        (None, EngineKind.SAVED_MODEL, 100 * MANY, 300, 1),
        (None, EngineKind.SAVED_MODEL, None, None, 1),
        (1, EngineKind.LITERT, 100 * MANY, 300, 1),
        (2, EngineKind.LITERT, 100, 25, 2),
        (9, EngineKind.LITERT, 100, 3, 3),
        (9, EngineKind.LITERT, None, None, 9),
        (2, EngineKind.SAVED_MODEL, 100, 25, 2),
        (2, EngineKind.LITERT, 0, 0, 1),
    ],
)
def test_number_of_processes(
    asked: int | None, engine: EngineKind, images: int | None, items: int | None, expected: int
) -> None:
    assert processes_for(asked, engine=engine, images=images, items=items) == expected


@given(st.integers(1, 512), st.integers(0, 2**45))
def test_each_process_has_a_cpu_and_memory_and_there_is_always_one(cpus: int, available: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "cpu_count", lambda: cpus)
        patch.setattr(machine, "available_memory", lambda: available)
        count = worker_processes()
    assert 1 <= count <= cpus
    assert count == 1 or count * WORKER_BYTES <= available
    assert count == cpus or (count + 1) * WORKER_BYTES > available


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder of folders with more names than one process is given."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "file").write_bytes(b"")
    for number in range(MANY):
        if number % 1000 == 0:
            (folder / str(number // 1000)).mkdir()
        os.link(folder / "file", folder / str(number // 1000) / str(number))
    return folder


@pytest.fixture
def asked(many: pathlib.Path, tmp_path: pathlib.Path) -> Callable[..., ScoreOptions]:
    def options(**given: object) -> ScoreOptions:
        return ScoreOptions(
            **({"inputs": (str(many),), "model": tmp_path, "output": str(tmp_path / "out")} | given)
        )

    return options


def test_many_local_files_start_processes_early_and_end_them(asked: Callable, calls: list[str]) -> None:
    with early_pool(asked()) as pool:
        assert pool is not None
        assert calls == ["start 4"]
    assert calls == ["start 4", "close"]


@pytest.mark.parametrize("name", ["more.zip", "pages.TIFF", "shards.tfrecord"])
def test_files_that_may_hold_several_images_are_not_counted(
    many: pathlib.Path, tmp_path: pathlib.Path, asked: Callable, name: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(b"")
    assert known_images(asked(inputs=(str(many), str(tmp_path / "in")))) is None


@pytest.mark.parametrize(
    ("given", "images"),
    [
        ({}, MANY + 1),
        ({"limit": 9_000}, MANY + 1),
        ({"sample": 100}, 100),
        ({"limit": 100, "input_list": pathlib.Path("names.txt")}, 100),
        ({"input_list": pathlib.Path("names.txt")}, None),
        ({"inputs": ("gs://bucket/folder",)}, None),
        ({"inputs": ("*.png",)}, None),
    ],
    ids=str,
)
def test_images_are_counted_if_folders_have_all_of_them(
    many: pathlib.Path, asked: Callable, given: dict, images: int | None
) -> None:
    inputs = (str(many), *given.get("inputs", ()))
    assert known_images(asked(**{**given, "inputs": inputs})) == images


def test_images_are_counted_up_to_many(asked: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "MANY_IMAGES", MANY)
    assert known_images(asked()) is None


@pytest.mark.parametrize(
    ("given", "compared"), [({}, True), ({"workers": 1}, False), ({"limit": 10}, False)], ids=str
)
def test_engines_may_be_compared_for_many_images_on_one_cpu_too(
    asked: Callable, monkeypatch: pytest.MonkeyPatch, given: dict, compared: bool
) -> None:
    monkeypatch.setattr(machine, "cpu_count", lambda: 1)
    with early_pool(asked(**given)) as pool:
        assert pool is None
        assert may_compare(asked(**given), pool) == compared


def test_early_processes_end_when_the_run_fails(asked: Callable, calls: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt), early_pool(asked(workers=2)):
        raise KeyboardInterrupt
    assert calls == ["start 2", "close"]


@pytest.mark.parametrize(
    "given",
    [
        {"workers": 1},
        {"engine": "saved_model"},
        {"limit": FEW_IMAGES},
        {"sample": 10},
        {"inputs": ("gs://bucket/folder",)},
        {"inputs": ("/nowhere/at/all",)},
        {"inputs": (), "input_list": pathlib.Path("names.txt")},
        {"beam_flags": ("--runner=FlinkRunner",)},
        {"beam_flags": ("--runner", "PrismRunner")},
        {"beam_flags": ("--direct_running_mode=multi_processing",)},
    ],
    ids=str,
)
def test_no_processes_start_early_if_the_run_may_be_small(
    asked: Callable, calls: list[str], given: dict
) -> None:
    with early_pool(asked(**given)) as pool:
        assert pool is None
    assert not any(call.startswith("start") for call in calls)


def test_no_processes_start_early_on_one_cpu(
    asked: Callable, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cpu_count", lambda: 1)
    with early_pool(asked()) as pool:
        assert pool is None
    assert "start 1" not in calls


def test_no_processes_start_early_with_a_gpu(
    asked: Callable, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "gpu_devices", lambda: 1)
    with early_pool(asked()) as pool:
        assert pool is None
    with early_pool(asked(engine="litert")) as pool:
        assert pool is not None


def test_an_early_pool_is_used(calls: list[str]) -> None:
    early = WorkerPool(4)
    with ready_pool(3, None, early=early) as pool:
        assert pool is early
    assert calls == ["assign 4", "close"]


def test_an_early_pool_that_is_not_needed_is_closed(calls: list[str]) -> None:
    with ready_pool(1, None, early=WorkerPool(4)) as pool:
        assert pool is None
        assert calls == ["close"]


def test_an_early_pool_keeps_its_size(calls: list[str]) -> None:
    with ready_pool(4, None, early=WorkerPool(2)) as pool:
        assert pool.processes == 2
        assert calls == ["assign 2"]


def test_one_process_needs_no_pool(calls: list[str]) -> None:
    with ready_pool(1, None, early=None) as pool:
        assert pool is None
    assert calls == []
