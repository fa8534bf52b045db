import pathlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.commands.stop_signals import stop_signals
from digitmill.storage.local_output import LocalFolder
from pipelines.output import run_progress
from pipelines.output.run_progress import Progress
from pipelines.output.stall_watchdog import STALL_SECONDS, Watchdog, watchdog_for
from schemas.errors import WorkerError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def watched(clock: Clock, **more: float) -> Watchdog:
    return Watchdog(lambda: "the pool at h:1 takes no connections", clock=clock, **more)


def test_what_stands_still_is_reported_ever_more_rarely(capsys: pytest.CaptureFixture) -> None:
    clock = Clock()
    watchdog = watched(clock)
    reported = []
    for minute in range(100):
        clock.now = 60.0 * minute
        watchdog.look("same", "5 of 9 images are done")
        reported += [minute] if capsys.readouterr().err else []
    assert reported == [10, 20, 40, 80]


def test_a_report_says_what_is_known_and_what_to_check(capsys: pytest.CaptureFixture) -> None:
    clock = Clock()
    watchdog = watched(clock)
    watchdog.look("same", "")
    clock.now = STALL_SECONDS
    watchdog.look("same", "5 of 9 images are done")
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "no progress for 10 min. 5 of 9 images are done. The pool at h:1 takes no connections. "
        "Look into the logs of the runner and its workers. Ctrl-C keeps what is done for --resume."
    )


@given(st.lists(st.floats(0, STALL_SECONDS * 0.99), max_size=20))
def test_progress_is_never_reported(waits: list[float]) -> None:
    clock, reports = Clock(), []
    watchdog = Watchdog(lambda: reports.append(1) or "", stop_after=STALL_SECONDS, clock=clock)
    for number, wait in enumerate(waits):
        clock.now += wait
        watchdog.look(number, "")
    watchdog.check()
    assert not reports


def test_a_run_is_stopped_once_and_says_why() -> None:
    clock = Clock()
    watchdog = watched(clock, stop_after=120.0)
    watchdog.look("same", "")
    clock.now = 119.0
    watchdog.look("same", "")
    watchdog.check()
    clock.now = 120.0
    with pytest.raises(KeyboardInterrupt), stop_signals():
        watchdog.look("same", "")
    with stop_signals():
        watchdog.look("same", "")  # a second signal would end the process
    with pytest.raises(WorkerError, match=r"no progress for 2 min.*takes no connections"):
        watchdog.check()


def test_a_standing_run_ends_in_its_reason(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_progress, "POLL_SECONDS", 0.01)
    watchdog = watchdog_for(lambda: "the runner is X", 1e-4)
    with (
        pytest.raises(WorkerError, match="no progress"),
        stop_signals(),
        Progress(LocalFolder(tmp_path), [], watchdog=watchdog),
    ):
        time.sleep(60)  # as the main thread waits for a runner


def test_this_process_has_no_watchdog() -> None:
    assert watchdog_for(None, 5.0) is None
