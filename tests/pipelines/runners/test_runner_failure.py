import pathlib
import threading

import grpc
import pytest

from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.listed_image import ListedImage
from pipelines.listing.frozen_listing import FrozenItem, freeze_listing
from pipelines.listing.input_listing import Listing
from pipelines.runners.interruption import resumable
from pipelines.runners.runner_failure import (
    RunnerError,
    describe_unfinished,
    explain_failures,
    failure_reason,
)
from schemas.errors import StoppedError
from schemas.layout import statistics_name

DISCONNECTED = "bundle inst003 stage-003 failed:SDK worker disconnected: worker[env], 2 active instructions"
FAILED = f"Pipeline job-001 failed in state FAILED: {DISCONNECTED}"
WORKER_TRACE = """Pipeline job-001 failed in state FAILED: java.lang.RuntimeException: it ended badly:
Traceback (most recent call last):
  File "sdk_worker.py", line 312, in _execute
    response = task()
               ^^^^^^
ValueError: too much of it

\tat org.apache.beam.runners.Fusion.run(Fusion.java:1)"""


class Gone(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "Socket\nclosed"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError(FAILED), f"the runner gave up: {DISCONNECTED}"),
        (RuntimeError(WORKER_TRACE), "the runner gave up: ValueError: too much of it"),
        (RuntimeError("Pipeline j failed in state CANCELLED: \n "), "the runner gave up: it gave no reason"),
        (Gone(), "lost the job server: UNAVAILABLE Socket closed"),
        (grpc.RpcError(), "lost the job server: no answer"),
        (
            RuntimeError(f"{FAILED}\nModuleNotFoundError: No module named 'pipelines'"),
            "digitmill is not installed on the workers: install this version of it there",
        ),
        (
            RuntimeError(f"{FAILED}\nModuleNotFoundError: No module named 'pipelines.score.transforms'"),
            "digitmill is not installed on the workers: install this version of it there",
        ),
        (
            RuntimeError(
                "Pipeline j failed in state FAILED: java.util.concurrent.TimeoutException: Waited 3 minutes "
                "(plus 2465633 nanoseconds delay) for SettableFuture@446b3899[status=PENDING]"
            ),
            "the workers took no work for three minutes. Look at their log; most likely digitmill is not "
            "installed on the workers: install this version of it there",
        ),
        (
            RuntimeError(f"{FAILED}\nModuleNotFoundError: No module named 'pandas'"),
            "the runner gave up: ModuleNotFoundError: No module named 'pandas'",
        ),
        (
            RuntimeError(
                "Pipeline j failed in state FAILED: StatusRuntimeException: CANCELLED: client cancelled"
            ),
            "the runner gave up: a worker died at each attempt; its memory limit may be too low",
        ),
        (RuntimeError("a bug of ours"), None),
        (ValueError(FAILED), None),
    ],
)
def test_failure_reason(error: Exception, message: str | None) -> None:
    assert failure_reason(error) == message


@pytest.fixture
def output(tmp_path: pathlib.Path) -> OutputFolder:
    folder = open_folder(str(tmp_path / "out"))
    folder.claim()
    return folder


@pytest.fixture
def items(output: OutputFolder) -> tuple[FrozenItem, ...]:
    images = [ListedImage(f"file:///{number}.png", 1, 10) for number in range(5)]
    return tuple(freeze_listing(Listing(iter(images)), output, run="run", most=2))


def finish(output: OutputFolder, item: FrozenItem) -> None:
    output.write_once(statistics_name(item.digest), b"{}")


def test_unfinished_work_items_are_counted(output: OutputFolder, items: tuple[FrozenItem, ...]) -> None:
    finish(output, items[0])
    message = describe_unfinished(output, items)
    assert message == (
        f"2 of 3 work items are not done, the first of them {items[1].digest}, "
        "which starts with 'file:///2.png'"
    )


def test_all_items_done(output: OutputFolder, items: tuple[FrozenItem, ...]) -> None:
    for item in items:
        finish(output, item)
    assert describe_unfinished(output, items) == "all 3 listed work items are done"


def test_items_unknown_to_the_launcher_are_not_counted(output: OutputFolder) -> None:
    assert describe_unfinished(output, []) == "the launcher does not know which work items are left"


def test_a_runner_failure_is_explained(output: OutputFolder, items: tuple[FrozenItem, ...]) -> None:
    message = r"disconnected.*3 of 3 work items are not done"
    with pytest.raises(RunnerError, match=message) as caught, explain_failures(output, items):
        raise RuntimeError(FAILED)
    assert FAILED in str(caught.value.__cause__)


def test_known_errors_pass_through(output: OutputFolder) -> None:
    with pytest.raises(RuntimeError, match="a bug of ours"), explain_failures(output, []):
        raise RuntimeError("a bug of ours")


def test_a_workers_own_error_takes_precedence(output: OutputFolder) -> None:
    text = f"{FAILED}\nschemas.errors.StorageError: the output can be written: 'x'. Free some space"
    message = r"^the output can be written: 'x'. Free some space. Finished"
    with pytest.raises(StoppedError, match=message), resumable("again"), explain_failures(output, []):
        raise RuntimeError(text)


def test_a_run_whose_runner_gave_up_can_be_resumed(output: OutputFolder) -> None:
    message = r"lost the job server.*To resume: again"
    with pytest.raises(StoppedError, match=message), resumable("again"), explain_failures(output, []):
        raise Gone


def raise_in_thread(error: Exception) -> None:
    def fail() -> None:
        raise error

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    met: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda given: met.append(given.exc_type))
    return met


def test_only_beams_message_thread_is_silenced(output: OutputFolder, hooked: list[object]) -> None:
    with explain_failures(output, []):
        raise_in_thread(Gone())
        raise_in_thread(ValueError())
    raise_in_thread(Gone())
    assert hooked == [ValueError, Gone]
