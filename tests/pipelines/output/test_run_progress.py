import io
import pathlib
import re
import threading
import time
from collections.abc import Callable

import pytest

from digitmill.storage.local_output import LocalFolder
from pipelines.listing.frozen_listing import FrozenItem, frozen_items
from pipelines.listing.work_item import WorkItem
from pipelines.output import run_progress
from pipelines.output.run_progress import Progress
from schemas.errors import StorageError
from schemas.layout import statistics_name


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is looked at, and told to a log, without delay."""
    monkeypatch.setattr(run_progress, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(run_progress, "LOG_SECONDS", 0.01)


def wait_for(pattern: str, shown: io.StringIO) -> re.Match:
    for _ in range(1000):
        found = re.search(pattern, shown.getvalue())
        if found:
            return found
        time.sleep(0.01)
    pytest.fail(f"{pattern!r} did not appear in {shown.getvalue()[-300:]!r}")


def frozen(items: list[WorkItem]) -> list[FrozenItem]:
    return [each for item in items for each in frozen_items("x", item)]


def finish(item: WorkItem, folder: pathlib.Path) -> None:
    LocalFolder(folder).write_once(statistics_name(item.digest), b"")


def test_progress_writes_plain_lines_to_a_log(
    digit_folder: pathlib.Path,
    items_of: Callable,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    looks_often: None,
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(run_progress.sys, "stderr", log)
    items = items_of(digit_folder, 100)
    with Progress(LocalFolder(tmp_path), frozen(items)):
        wait_for("scoring: 0 of 500 images, 0 images/s, no estimate yet", log)
        for item in items[:2]:
            finish(item, tmp_path)
        wait_for("scoring: 200 of 500 images", log)
    assert "s left" in log.getvalue()
    assert "\r" not in log.getvalue()


def test_items_done_before_the_bar_count_in_the_rate(
    digit_folder: pathlib.Path,
    items_of: Callable,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    looks_often: None,
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(run_progress.sys, "stderr", log)
    items = items_of(digit_folder, 100)
    finish(items[0], tmp_path)
    with Progress(LocalFolder(tmp_path), frozen(items), began=time.monotonic() - 1_000):
        # 100 images took 1,000 s and a moment: 400 more take four times as long.
        left = wait_for(r"scoring: 100 of 500 images, 0 images/s, (\d+) s left", log)
    assert int(left[1]) >= 4_000


@pytest.mark.parametrize(("earlier", "shown"), [(1_000, "16:4"), (0, "00:0")])
def test_a_bar_shows_the_time_since_the_first_item_began(
    digit_folder: pathlib.Path,
    items_of: Callable,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    looks_often: None,
    earlier: int,
    shown: str,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(run_progress.sys, "stderr", terminal)
    monkeypatch.setattr(run_progress.time, "monotonic", lambda: 5_000.0)
    items = items_of(digit_folder, 100)
    with Progress(LocalFolder(tmp_path), frozen(items), began=5_000.0 - earlier):
        finish(items[0], tmp_path)
        wait_for(rf"100/500 \[{shown}", terminal)


@pytest.mark.parametrize(
    ("expected", "left"),
    [(None, "images/s\n"), (4_000, "images/s, about 100 s left\n"), (1_000, "images/s\n")],
)
def test_listing_progress_goes_to_a_log(
    expected: int | None, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(run_progress.sys, "stderr", log)
    # Looked at when it begins, and after every thousand images, of which each takes 50 s.
    monkeypatch.setattr(run_progress.time, "monotonic", iter(range(0, 10_000, 50)).__next__)
    assert list(run_progress.show_listing(iter(range(2_500)), expected=expected)) == list(range(2_500))
    first, second = log.getvalue().splitlines(keepends=True)
    assert first.startswith("listing: 1,000 images, 20 images/s")
    assert second == f"listing: 2,000 images, 20 images/s{left.removeprefix('images/s')}"


def test_listing_shows_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(run_progress.sys, "stderr", terminal)
    assert list(run_progress.show_listing(iter(range(10)), expected=20)) == list(range(10))
    assert "listing:   0%|" in terminal.getvalue()
    assert "/20 [" in terminal.getvalue()


class Stormy(LocalFolder):
    """A folder whose storage does not answer until it is interrupted."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(path)
        self.asked, self.interrupted = threading.Event(), threading.Event()

    def names(self, folder: str) -> set[str]:
        self.asked.set()
        assert self.interrupted.wait(60)
        raise StorageError("stopped while waiting for a store", value="retries", hint="start again")

    def interrupt(self) -> None:
        self.interrupted.set()


def test_the_end_does_not_wait_for_a_store(tmp_path: pathlib.Path, looks_often: None) -> None:
    output = Stormy(tmp_path)
    with Progress(output, []):
        assert output.asked.wait(60)
    assert output.interrupted.is_set()
