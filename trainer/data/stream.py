"""Decodes a source's images in the background, while training begins on the first ones.

Images come in the order of their positions, in windows of `WINDOW` training images. Everything that training
needs before its first step depends only on the files, so every start gets the same values, with or without a
cache. Values that depend on the pixels of all images are known at the end.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from schemas.digit import CLASSES
from schemas.errors import UserError
from trainer.data.share import Rows, Share, ShareWriter
from trainer.data.splits import PARTS, Digits

WINDOW: Final = 65_536
"""Training images that are handed over, and shuffled in the first epoch, together: 51 MB."""

_SHUTDOWN_SECONDS: Final = 5.0
"""Time to stop decoding and to remove what is not complete, before the process may end all the same."""

Watch = Callable[[ShareWriter], None]
"""Looks at a share that is being written, after each piece."""


class _ClosedError(Exception):
    """Nobody needs the images any more."""


class Stream:
    """The labeled digits of a source while they are decoded.

    Args:
        name: the `--data` value.
        epoch_images: this worker's training images in an epoch, estimated.
        identity: a digest of what the images are made from, to check on resume.
        fill: decodes the images in another thread; calls its argument after each piece.
        finish: returns the digits, once they are decoded; runs in the thread that asks for them first.
    """

    def __init__(
        self,
        name: str,
        *,
        epoch_images: int,
        identity: str,
        fill: Callable[[Watch], Share],
        finish: Callable[[Share], Digits],
    ) -> None:
        self.name = name
        self.epoch_images = epoch_images
        self.identity = identity
        self.window = WINDOW
        self._finish = finish
        self._digits: Digits | None = None
        self._rows: Rows | None = None
        self._share: Share | None = None
        self._error: Exception | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._decode, args=(fill,), name="decoding", daemon=True)
        self._thread.start()

    def wait(self, images: int) -> int:
        """Wait until this many training images are decoded; return their number, or the total if it is less.

        Raises:
            Exception: the error that ended decoding, if it failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._share or self._count() >= images)
            if self._error is not None:
                raise self._error
            return self._count()

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return training images uint8[..., 28, 28] and labels uint8[...] by int[...] row; see `wait`."""
        found = self._rows
        assert found is not None, "nothing is there before `wait` returns"
        return found.images[rows], found.labels[rows]

    def whole(self) -> Digits:
        """Wait for all images and return them; all workers call it at the same point.

        Raises:
            Exception: the error that ended decoding, if it failed.
            UserError: if the images, or too many of them, can't be used.
        """
        if self._digits is None:
            with self._changed:
                self._changed.wait_for(lambda: self._error or self._share)
            if self._error is not None:
                raise self._error
            assert self._share is not None
            self._digits = self._finish(self._share)
        return self._digits

    @contextlib.contextmanager
    def opened(self) -> Iterator["Stream"]:
        """Context manager that stops decoding on exit; raises the decoding error rather than later errors."""
        try:
            yield self
        except Exception as error:
            # TensorFlow raises an error of its own, with the text of the first one.
            if self._error is not None and error is not self._error:
                raise self._error from error
            raise
        finally:
            self._closed = True
            self._thread.join(_SHUTDOWN_SECONDS)

    def _decode(self, fill: Callable[[Watch], Share]) -> None:
        try:
            share = fill(self._watch)
            self._check(share.parts[PARTS[0]])
            self._announce(share.parts[PARTS[0]], share)
        except Exception as error:  # any error ends the training, which raises it
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _watch(self, writer: ShareWriter) -> None:
        if self._closed:
            raise _ClosedError
        if writer.train_images - self._count() >= self.window:
            rows = writer.train_rows()
            if self._rows is None:
                self._check(rows)
            self._announce(rows)

    def _announce(self, rows: Rows, share: Share | None = None) -> None:
        with self._changed:
            self._rows, self._share = rows, share
            self._changed.notify_all()

    def _check(self, rows: Rows) -> None:
        """Raise UserError if there is no training image, or the first window lacks a digit."""
        first = np.bincount(rows.labels[: self.window], minlength=CLASSES)[:CLASSES]
        if not len(rows.labels):
            raise UserError("there are no training images", value=self.name, hint="add images")
        if len(rows.labels) < self.window:
            return  # whether each digit is among all of them is checked at the end
        if missing := [str(label) for label in np.flatnonzero(first == 0)]:
            raise UserError(
                f"--stream needs shuffled images: there is no {', '.join(missing)} among the first "
                f"{self.window:,} training images",
                value=self.name,
                hint="pack them with --shuffle, or leave out --stream",
            )

    def _count(self) -> int:
        return 0 if self._rows is None else len(self._rows.labels)
