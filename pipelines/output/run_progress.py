"""Progress of a running job, read from its output folder, so that it works with every runner."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Self

from digitmill.commands.progress_bar import progress_bar, shows_bar
from digitmill.commands.verbosity import is_quiet
from digitmill.storage import OutputFolder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_output import LocalFolder
from pipelines.listing.frozen_listing import FrozenItem, frozen_items, read_item
from pipelines.output.stall_watchdog import Watchdog
from schemas.errors import StorageError
from schemas.layout import LISTING, STATISTICS, record_name

POLL_SECONDS: Final = 0.5
"""Interval at which a local output folder is read, in seconds."""

REMOTE_POLL_SECONDS: Final = 5.0
"""Interval at which an output folder in a bucket is read, in seconds."""

LOG_SECONDS: Final = 10.0
"""Interval between two lines in a log, in seconds."""

_JOIN_SECONDS: Final = 1.0

_CLOCK_INTERVAL = 1_000
"""Number of images between two checks of the clock."""


def show_listing(images: Iterable[ListedImage], *, expected: int | None = None) -> Iterator[ListedImage]:
    """Yield images unchanged and show their number and rate, and the time left if a total is expected.

    Shows a bar on a terminal or in a notebook, and a plain line every ten seconds elsewhere.
    """
    if shows_bar():
        yield from progress_bar(images, total=expected, unit=" images", desc="listing")
        return
    began = printed = time.monotonic()
    for number, image in enumerate(images, start=1):
        yield image
        if is_quiet() or number % _CLOCK_INTERVAL:
            continue
        if (now := time.monotonic()) - printed >= LOG_SECONDS:
            printed, rate = now, number / (now - began)
            left = (
                f", about {(expected - number) / rate:.0f} s left" if expected and number < expected else ""
            )
            print(f"listing: {number:,} images, {rate:,.0f} images/s{left}", file=sys.stderr, flush=True)


class Progress:
    """Context manager that shows the images done, the total, the rate and the time left.

    Shows a bar on a terminal or in a notebook, and a plain line every ten seconds elsewhere. Progress is the
    number of statistics records in the output folder. While workers still list, the total is the number of
    images listed so far.

    `adds_items` returns by name whether a listing file has work items added by workers. `began` is the
    `time.monotonic` at which the first item started. A `watchdog` sees the progress and may stop the run.

    Raises:
        WorkerError: on exit, if the watchdog stopped the run.
    """

    def __init__(
        self,
        output: OutputFolder,
        items: Iterable[FrozenItem],
        *,
        adds_items: Callable[[str], bool] | None = None,
        verb: str = "scoring",
        began: float | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._output = output
        self._verb = verb
        self._started = time.monotonic() if began is None else began
        self._adds_items = adds_items
        self._watchdog = watchdog
        self._waiting = {record_name(item.digest): item.images for item in items}
        self._seen: set[str] = set()
        self._total, self._done = sum(self._waiting.values()), 0
        # Work items finish in bursts, so the rate is the overall mean instead of a moving average.
        self._bar = progress_bar(total=self._total, unit=" images", desc=verb, smoothing=0)
        if not self._bar.disable:
            self._bar.start_t -= time.monotonic() - self._started
        self._poll = POLL_SECONDS if isinstance(output, LocalFolder) else REMOTE_POLL_SECONDS
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        while self._thread.is_alive():
            self._output.interrupt()  # the thread may be waiting for a store
            self._thread.join(_JOIN_SECONDS)
        self._bar.close()
        if self._watchdog and failed:
            self._watchdog.check()

    def _watch(self) -> None:
        printed = self._started
        while not self._stop.wait(self._poll):
            # The error is temporary, or the run hits it too and reports it.
            with contextlib.suppress(StorageError):
                self._update()
            if self._bar.disable and not is_quiet() and time.monotonic() - printed >= LOG_SECONDS:
                printed = time.monotonic()
                print(self._line(printed - self._started), file=sys.stderr, flush=True)
            if self._watchdog:
                # Listing and joining by workers is progress too.
                done = f"{self._done:,} of {self._total:,} images are done"
                self._watchdog.look((self._done, len(self._seen)), done)

    def _update(self) -> None:
        if self._adds_items:
            self._add_listed(self._adds_items)
        done = self._output.names(STATISTICS) & self._waiting.keys()
        images = sum(self._waiting.pop(record) for record in done)
        self._done += images
        self._bar.update(images)

    def _add_listed(self, adds_items: Callable[[str], bool]) -> None:
        names = {f"{LISTING}/{name}" for name in self._output.names(LISTING)}
        for name in filter(adds_items, sorted(names - self._seen)):
            item = read_item(self._output, name)
            for frozen in frozen_items(name, item) if item else ():
                self._waiting.setdefault(record_name(frozen.digest), frozen.images)
        self._total = self._done + sum(self._waiting.values())
        self._seen |= names
        self._bar.total = self._total

    def _line(self, seconds: float) -> str:
        rate = self._done / seconds
        left = f"{(self._total - self._done) / rate:.0f} s left" if rate else "no estimate yet"
        return f"{self._verb}: {self._done:,} of {self._total:,} images, {rate:,.0f} images/s, {left}"
