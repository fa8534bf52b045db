"""How far the training is: a bar on a terminal, plain lines everywhere."""

import sys
import time
from types import TracebackType
from typing import Final, Self

from tqdm import tqdm

from trainer.run.history import Epoch

_PAUSE: Final = 30.0
"""Least time between two lines within an epoch, seconds."""


class Progress:
    """Context manager that shows epochs, steps, loss, accuracy, images per second and the time left.

    Args:
        epochs: how many there will be.
        steps: of an epoch.
        batch: training images of a step.
        done: steps done before, in an earlier process.
        shown: whether anything is shown; of several workers, only the chief shows.
    """

    def __init__(self, *, epochs: int, steps: int, batch: int, done: int = 0, shown: bool = True) -> None:
        self._epochs = epochs
        self._steps = steps
        self._batch = batch
        self._first = self._done = done
        self._shown = shown
        # Elsewhere tqdm would write its bar over and over into the log.
        self._bar = tqdm(
            total=epochs * steps * batch,
            initial=done * batch,
            unit=" images",
            desc="training",
            disable=not (shown and sys.stderr.isatty()),
            leave=False,
        )

    def __enter__(self) -> Self:
        self._started = self._spoken = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, steps: int, *, loss: float, accuracy: float) -> None:
        """Counts steps that were done; loss and accuracy are means over the epoch so far."""
        self._done += steps
        self._bar.set_postfix_str(f"loss {loss:.4f}, accuracy {accuracy:.2%}", refresh=False)
        self._bar.update(steps * self._batch)
        now = time.monotonic()
        if self._bar.disable and now - self._spoken >= _PAUSE and self._done % self._steps:
            speed = (self._done - self._first) * self._batch / (now - self._started)
            epoch, step = divmod(self._done, self._steps)
            self._say(
                f"epoch {epoch + 1:>{len(str(self._epochs))}}/{self._epochs}, step {step:,}/{self._steps:,}: "
                f"loss {loss:.4f}, accuracy {accuracy:.2%}, {speed:,.0f} images/s, {self._left()}"
            )

    def finish_epoch(self, epoch: Epoch) -> None:
        """Prints the epoch's line."""
        with self._bar.external_write_mode():
            self._say(_line(epoch, epochs=self._epochs, left=self._left()))

    def _say(self, line: str) -> None:
        self._spoken = time.monotonic()
        if self._shown:
            print(line, flush=True)

    def _left(self) -> str:
        elapsed = time.monotonic() - self._started
        here = max(self._done - self._first, 1)
        return f"{elapsed / here * (self._epochs * self._steps - self._done):.0f} s left"


def _line(epoch: Epoch, *, epochs: int, left: str) -> str:
    held_out = "no validation"
    if epoch.val_loss is not None and epoch.val_accuracy is not None:
        held_out = f"val loss {epoch.val_loss:.4f}, val accuracy {epoch.val_accuracy:.2%}"
    return (
        f"epoch {epoch.epoch:>{len(str(epochs))}}/{epochs}: loss {epoch.loss:.4f}, "
        f"accuracy {epoch.accuracy:.2%}, {held_out}, "
        f"{epoch.images_per_second:,.0f} images/s, {left}"
    )
