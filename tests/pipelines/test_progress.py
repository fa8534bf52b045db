import io
import pathlib
import time
from collections.abc import Callable

import pytest

from pipelines import progress
from pipelines.frozen_listing import frozen_items
from pipelines.progress import Progress
from pipelines.scoring import statistics_name
from pipelines.storage.local import LocalFolder


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_plain_lines(
    digit_folder: pathlib.Path, items_of: Callable, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(progress.sys, "stderr", log)
    monkeypatch.setattr(progress, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.01)
    items = items_of(digit_folder, 100)

    def wait_for(text: str) -> None:
        for _ in range(1000):
            if text in log.getvalue():
                return
            time.sleep(0.01)
        pytest.fail(f"{text!r} did not appear in {log.getvalue()[-300:]!r}")

    with Progress(LocalFolder(tmp_path), [frozen for item in items for frozen in frozen_items("x", item)]):
        wait_for("scoring: 0 of 500 images, 0 images/s, no estimate yet")
        for item in items[:2]:
            LocalFolder(tmp_path).write_once(statistics_name(item.digest), b"")
        wait_for("scoring: 200 of 500 images")
    assert "s left" in log.getvalue()
    assert "\r" not in log.getvalue()


def test_what_was_done_before_it_watches_took_its_time(
    digit_folder: pathlib.Path, items_of: Callable, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.sys, "stderr", Terminal())
    items = [frozen for item in items_of(digit_folder, 100) for frozen in frozen_items("x", item)]
    with Progress(LocalFolder(tmp_path), items, began=time.monotonic() - 1_000) as watched:
        assert 1_000 <= watched._bar.format_dict["elapsed"] < 2_000
        assert watched._line(1_000) == "scoring: 0 of 500 images, 0 images/s, no estimate yet"
    with Progress(LocalFolder(tmp_path), items) as watched:
        assert watched._bar.format_dict["elapsed"] < 1_000


@pytest.mark.parametrize(
    ("expected", "left"),
    [(None, "images/s\n"), (4_000, "images/s, about 100 s left\n"), (1_000, "images/s\n")],
)
def test_listing_tells_a_log_how_far_it_is(
    expected: int | None, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(progress.sys, "stderr", log)
    # Looked at when it begins, and after every thousand images, of which each takes 50 s.
    monkeypatch.setattr(progress.time, "monotonic", iter(range(0, 10_000, 50)).__next__)
    assert list(progress.listed(iter(range(2_500)), expected=expected)) == list(range(2_500))
    first, second = log.getvalue().splitlines(keepends=True)
    assert first.startswith("listing: 1,000 images, 20 images/s")
    assert second == f"listing: 2,000 images, 20 images/s{left.removeprefix('images/s')}"


def test_listing_shows_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    assert list(progress.listed(iter(range(10)), expected=20)) == list(range(10))
    assert "listing:   0%|" in terminal.getvalue()
    assert "/20 [" in terminal.getvalue()
