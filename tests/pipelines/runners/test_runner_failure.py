import pathlib
import threading

import apache_beam as beam
import grpc
import pytest

from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.listed_image import ListedImage
from pipelines.listing.frozen_listing import FrozenItem, freeze
from pipelines.listing.input_listing import Listing
from pipelines.runners.interruption import resumable
from pipelines.runners.runner_failure import (
    RunnerError,
    cancelled_with_launcher,
    explained,
    reason,
    unfinished,
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
    ("error", "said"),
    [
        (RuntimeError(FAILED), f"the runner gave up: {DISCONNECTED}"),
        (RuntimeError(WORKER_TRACE), "the runner gave up: ValueError: too much of it"),
        (RuntimeError("Pipeline j failed in state CANCELLED: \n "), "the runner gave up: it did not say why"),
        (Gone(), "the job server is gone: UNAVAILABLE Socket closed"),
        (grpc.RpcError(), "the job server is gone: no answer"),
        (
            RuntimeError(f"{FAILED}\nModuleNotFoundError: No module named 'pipelines'"),
            "the workers have no digitmill: install this version of it where they run",
        ),
        (
            RuntimeError(f"{FAILED}\nModuleNotFoundError: No module named 'pipelines.score.transforms'"),
            "the workers have no digitmill: install this version of it where they run",
        ),
        (
            RuntimeError(f"{FAILED}\nModuleNotFoundError: No module named 'pandas'"),
            "the runner gave up: ModuleNotFoundError: No module named 'pandas'",
        ),
        (
            RuntimeError(
                "Pipeline j failed in state FAILED: StatusRuntimeException: CANCELLED: client cancelled"
            ),
            "the runner gave up: a worker was gone each time, as one is whose memory limit is too low",
        ),
        (RuntimeError("a bug of ours"), None),
        (ValueError(FAILED), None),
    ],
)
def test_the_reason_is_one_line_and_errors_of_ours_have_none(error: Exception, said: str | None) -> None:
    assert reason(error) == said


@pytest.fixture
def output(tmp_path: pathlib.Path) -> OutputFolder:
    return open_folder(str(tmp_path / "out"))


@pytest.fixture
def items(output: OutputFolder) -> tuple[FrozenItem, ...]:
    images = [ListedImage(f"file:///{number}.png", 1, 10) for number in range(5)]
    return freeze(Listing(iter(images)), output, run="run", most=2).items


def finish(output: OutputFolder, item: FrozenItem) -> None:
    output.write_once(statistics_name(item.digest), b"{}")


def test_work_items_without_a_record_are_counted_and_the_first_is_named(
    output: OutputFolder, items: tuple[FrozenItem, ...]
) -> None:
    finish(output, items[0])
    said = unfinished(output, items)
    assert said == (
        f"2 of 3 work items are not done, the first of them {items[1].digest}, "
        "which begins with 'file:///2.png'"
    )


def test_when_all_are_done_that_is_said(output: OutputFolder, items: tuple[FrozenItem, ...]) -> None:
    for item in items:
        finish(output, item)
    assert unfinished(output, items) == "all 3 work items are done"


def test_what_the_launcher_does_not_know_it_does_not_count(output: OutputFolder) -> None:
    assert unfinished(output, []) == "the launcher does not know which work items are left"


def test_a_runner_that_gave_up_is_explained(output: OutputFolder, items: tuple[FrozenItem, ...]) -> None:
    said = r"disconnected.*3 of 3 work items are not done"
    with pytest.raises(RunnerError, match=said) as caught, explained(output, items):
        raise RuntimeError(FAILED)
    assert FAILED in str(caught.value.__cause__)


def test_errors_of_ours_pass_through(output: OutputFolder) -> None:
    with pytest.raises(RuntimeError, match="a bug of ours"), explained(output, []):
        raise RuntimeError("a bug of ours")


def test_what_a_worker_said_itself_comes_before_what_its_runner_says(output: OutputFolder) -> None:
    text = f"{FAILED}\nschemas.errors.StorageError: the output can be written; got 'x'; free some space"
    said = r"^the output can be written; got 'x'; free some space; what"
    with pytest.raises(StoppedError, match=said), resumable("again"), explained(output, []):
        raise RuntimeError(text)


def test_a_runner_that_gave_up_can_be_gone_on_with(output: OutputFolder) -> None:
    said = r"the job server is gone.*this goes on with it: again"
    with pytest.raises(StoppedError, match=said), resumable("again"), explained(output, []):
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


def test_only_beams_message_thread_says_nothing(output: OutputFolder, hooked: list[object]) -> None:
    with explained(output, []):
        raise_in_thread(Gone())
        raise_in_thread(ValueError())
    raise_in_thread(Gone())
    assert hooked == [ValueError, Gone]


class Result:
    def __init__(self, error: Exception | None = None) -> None:
        self.cancelled = 0
        self.error = error

    def cancel(self) -> None:
        self.cancelled += 1
        if self.error:
            raise self.error


@pytest.mark.parametrize("error", [None, Gone(), NotImplementedError(), RuntimeError("done already")])
def test_a_launcher_that_is_told_to_stop_takes_its_job_back(error: Exception | None) -> None:
    pipeline = beam.Pipeline()
    pipeline.result = Result(error)
    with pytest.raises(KeyboardInterrupt), cancelled_with_launcher(pipeline):
        raise KeyboardInterrupt
    assert pipeline.result.cancelled == 1


def test_before_there_is_a_job_there_is_nothing_to_take_back() -> None:
    with pytest.raises(KeyboardInterrupt), cancelled_with_launcher(beam.Pipeline()):
        raise KeyboardInterrupt


def test_a_job_that_fails_is_not_taken_back() -> None:
    pipeline = beam.Pipeline()
    pipeline.result = Result()
    with pytest.raises(RuntimeError), cancelled_with_launcher(pipeline):
        raise RuntimeError
    assert pipeline.result.cancelled == 0
