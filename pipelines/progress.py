"""Progress of a running job, seen from its outputs: the same for every runner."""

import pathlib
import sys
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from tqdm import tqdm

from pipelines.scoring import statistics_file
from pipelines.work_item import WorkItem

_POLL_SECONDS = 0.5
_LOG_SECONDS = 10.0


class Progress:
    """Context manager that shows images done, of how many, per second, and the time left.

    A bar on a terminal, a plain line every ten seconds elsewhere. It counts the statistics records in
    the output folder, so that it needs nothing of the runner.
    """

    def __init__(self, output: pathlib.Path, items: Iterable[WorkItem]) -> None:
        self._waiting = {statistics_file(output, item.digest): len(item.images) for item in items}
        total = sum(self._waiting.values())
        terminal = sys.stderr.isatty()
        # Without a terminal tqdm would write its bar over and over into the log.
        self._bar = tqdm(total=total, unit=" images", desc="scoring", disable=not terminal, leave=False)
        self._total, self._done, self._terminal = total, 0, terminal
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._bar.close()

    def _watch(self) -> None:
        said = self._started
        while not self._stop.wait(_POLL_SECONDS):
            new = [record for record in self._waiting if record.exists()]
            images = sum(self._waiting.pop(record) for record in new)
            self._done += images
            self._bar.update(images)
            if not self._terminal and time.monotonic() - said >= _LOG_SECONDS:
                said = time.monotonic()
                print(self._line(said - self._started), file=sys.stderr, flush=True)

    def _line(self, seconds: float) -> str:
        rate = self._done / seconds
        left = f"{(self._total - self._done) / rate:.0f} s left" if rate else "no estimate yet"
        return f"scoring: {self._done:,} of {self._total:,} images, {rate:,.0f} images/s, {left}"
