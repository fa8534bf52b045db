"""Shows how far the training is: a bar on a terminal, plain lines elsewhere."""

import time
from typing import Final, Self

from tqdm import tqdm

from digitmill.commands.verbosity import shows_bars
from trainer.loop.actions.action import Action, EpochReport, StepReport
from trainer.run.history import Epoch

_LINE_INTERVAL: Final = 30.0
"""Least time between two lines within an epoch, seconds."""


class Progress(Action):
    """Context manager that shows epochs, steps, loss, accuracy, images per second and the time left.

    Args:
        epochs: epochs of the training.
        steps: steps per epoch.
        batch: images per step.
        done: steps done by earlier processes.
        enabled: whether to print; only the chief of several workers does.
    """

    def __init__(self, *, epochs: int, steps: int, batch: int, done: int = 0, enabled: bool = True) -> None:
        self._epochs = epochs
        self._steps = steps
        self._batch = batch
        self._first = self._done = done
        self._enabled = enabled
        # In a log file, tqdm would write its bar again and again.
        self._bar = tqdm(
            total=epochs * steps * batch,
            initial=done * batch,
            unit=" images",
            desc="training",
            disable=not (enabled and shows_bars()),
            leave=False,
        )

    def __enter__(self) -> Self:
        self._started = self._printed = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def after_steps(self, report: StepReport) -> None:
        """Move the bar or, every 30 s within an epoch, print a line."""
        steps, self._done = report.step - self._done, report.step
        metrics = f"loss {report.epoch_loss:.4f}, accuracy {report.epoch_accuracy:.2%}"
        self._bar.set_postfix_str(metrics, refresh=False)
        self._bar.update(steps * self._batch)
        now = time.monotonic()
        if self._bar.disable and now - self._printed >= _LINE_INTERVAL and not report.ends_epoch:
            speed = (self._done - self._first) * self._batch / (now - self._started)
            self._print(
                f"{self._epoch(report.epoch)}, step {report.last:,}/{self._steps:,}: {metrics}, "
                f"{speed:,.0f} images/s, {self._time_left()}"
            )

    def after_epoch(self, report: EpochReport) -> None:
        """Print the epoch's line."""
        with self._bar.external_write_mode():
            self._print(f"{self._epoch(report.epoch.epoch)}: {_metrics(report.epoch)}, {self._time_left()}")

    def _epoch(self, number: int) -> str:
        return f"epoch {number:>{len(str(self._epochs))}}/{self._epochs}"

    def _print(self, line: str) -> None:
        self._printed = time.monotonic()
        if self._enabled:
            print(line, flush=True)

    def _time_left(self) -> str:
        elapsed = time.monotonic() - self._started
        done_here = max(self._done - self._first, 1)
        return f"{elapsed / done_here * (self._epochs * self._steps - self._done):.0f} s left"


def _metrics(epoch: Epoch) -> str:
    validation = "no validation"
    if epoch.val_loss is not None and epoch.val_accuracy is not None:
        validation = f"val loss {epoch.val_loss:.4f}, val accuracy {epoch.val_accuracy:.2%}"
    return (
        f"loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.2%}, {validation}, "
        f"{epoch.images_per_second:,.0f} images/s"
    )
