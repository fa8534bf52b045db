"""Progress of a running job, seen from its outputs: the same for every runner."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Final, Self

from tqdm import tqdm

from digitmill.storage import OutputFolder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_output import LocalFolder
from pipelines.listing.frozen_listing import LISTING, FrozenItem, frozen_items, read_item
from schemas.errors import StorageError
from schemas.layout import STATISTICS, record_name

POLL_SECONDS: Final = 0.5
"""Seconds between two looks at an output folder on this machine."""

REMOTE_POLL_SECONDS: Final = 5.0
"""Seconds between two looks at an output folder in a bucket."""

LOG_SECONDS: Final = 10.0
"""Seconds between two lines in a log."""

_LOOK = 1_000
"""Images between two looks at the clock."""


def listed(images: Iterable[ListedImage], *, expected: int | None = None) -> Iterator[ListedImage]:
    """Passes images on while they are listed, and shows how many there are and how fast they come.

    A bar on a terminal, a plain line every ten seconds elsewhere.

    Args:
        images: listed while they are asked for.
        expected: number of them that an earlier run has found, by which the time left is told.
    """
    if sys.stderr.isatty():
        yield from tqdm(images, total=expected, unit=" images", desc="listing", leave=False)
        return
    began = said = time.monotonic()
    for number, image in enumerate(images, start=1):
        yield image
        if number % _LOOK == 0 and (now := time.monotonic()) - said >= LOG_SECONDS:
            said, rate = now, number / (now - began)
            left = (
                f", about {(expected - number) / rate:.0f} s left" if expected and number < expected else ""
            )
            print(f"listing: {number:,} images, {rate:,.0f} images/s{left}", file=sys.stderr, flush=True)


class Progress:
    """Context manager that shows images done, of how many, per second, and the time left.

    A bar on a terminal, a plain line every ten seconds elsewhere. It looks at the statistics records
    in the output folder, so that it needs nothing of the runner. While workers still list, the total
    is what has been listed so far.
    """

    def __init__(
        self,
        output: OutputFolder,
        items: Iterable[FrozenItem],
        *,
        growing: Callable[[str], bool] | None = None,
        verb: str = "scoring",
        began: float | None = None,
    ) -> None:
        """Counts what is to be done.

        Args:
            output: where the records appear.
            items: the work items that the launcher knows of.
            growing: which listing files hold work items that workers add; None where there are none.
            verb: what is done.
            began: when the first item was begun, by `time.monotonic`; now when None.
        """
        self._output = output
        self._verb = verb
        self._started = time.monotonic() if began is None else began
        self._growing = growing
        self._waiting = {record_name(item.digest): item.images for item in items}
        self._seen: set[str] = set()
        self._total, self._done = sum(self._waiting.values()), 0
        self._terminal = sys.stderr.isatty()
        # Without a terminal tqdm would write its bar over and over into the log.
        # Work items end in bursts, of which a moving average makes rates that nobody sees: the mean of all.
        self._bar = tqdm(
            total=self._total, unit=" images", desc=verb, disable=not self._terminal, leave=False, smoothing=0
        )
        if self._terminal:
            self._bar.start_t -= time.monotonic() - self._started
        self._poll = POLL_SECONDS if isinstance(output, LocalFolder) else REMOTE_POLL_SECONDS
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Self:
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
        while not self._stop.wait(self._poll):
            try:
                self._look()
            except StorageError:
                return  # the run meets it too, and is the one to say so
            if not self._terminal and time.monotonic() - said >= LOG_SECONDS:
                said = time.monotonic()
                print(self._line(said - self._started), file=sys.stderr, flush=True)

    def _look(self) -> None:
        if self._growing:
            self._add_listed(self._growing)
        done = self._output.names(STATISTICS) & self._waiting.keys()
        images = sum(self._waiting.pop(record) for record in done)
        self._done += images
        self._bar.update(images)

    def _add_listed(self, growing: Callable[[str], bool]) -> None:
        names = {f"{LISTING}/{name}" for name in self._output.names(LISTING)}
        for name in filter(growing, sorted(names - self._seen)):
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
