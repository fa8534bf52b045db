"""How far the training is: a bar on a terminal, one plain line an epoch everywhere."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

from trainer.history import Epoch


class Progress:
    """Context manager that shows epochs, images per second and the time left.

    Args:
        epochs: how many there will be.
        images: training images of an epoch.
    """

    def __init__(self, *, epochs: int, images: int) -> None:
        self._epochs = epochs
        # Elsewhere tqdm would write its bar over and over into the log.
        self._bar = tqdm(
            total=epochs * images,
            unit=" images",
            desc="training",
            disable=not sys.stderr.isatty(),
            leave=False,
        )

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, images: int) -> None:
        """Counts images that were trained on."""
        self._bar.update(images)

    def finish_epoch(self, epoch: Epoch) -> None:
        """Prints the epoch's line."""
        elapsed = time.monotonic() - self._started
        left = elapsed / epoch.epoch * (self._epochs - epoch.epoch)
        with self._bar.external_write_mode():
            print(_line(epoch, epochs=self._epochs, left=left), flush=True)


def _line(epoch: Epoch, *, epochs: int, left: float) -> str:
    held_out = "no validation"
    if epoch.val_loss is not None and epoch.val_accuracy is not None:
        held_out = f"val loss {epoch.val_loss:.4f}, val accuracy {epoch.val_accuracy:.2%}"
    return (
        f"epoch {epoch.epoch:>{len(str(epochs))}}/{epochs}: loss {epoch.loss:.4f}, "
        f"accuracy {epoch.accuracy:.2%}, {held_out}, "
        f"{epoch.images_per_second:,.0f} images/s, {left:.0f} s left"
    )
