"""What TensorBoard shows of a run: scalars, a batch of training images, the confusion matrix."""

import time
from typing import Final

import numpy as np
import tensorflow as tf

from trainer.metrics.measures import Evaluation
from trainer.run.history import Epoch
from trainer.run.run_location import Place

_IMAGES: Final = 16
_DRAWING_PAUSE: Final = 30.0
"""Least time between two confusion matrices, seconds: drawing one takes a third of one."""


class TensorBoard:
    """Writes event files into a place.

    Args:
        place: where `tensorboard --logdir` will look.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        place.folder.mkdir(parents=True, exist_ok=True)
        self._writer = tf.summary.create_file_writer(str(place.folder))
        self._drawn = -_DRAWING_PAUSE

    def stretch(self, *, step: int, loss: float, accuracy: float, learning_rate: float) -> None:
        """Notes the mean loss and accuracy of the steps since the last stretch."""
        with self._writer.as_default(step=step):
            tf.summary.scalar("steps/loss", loss)
            tf.summary.scalar("steps/accuracy", accuracy)
            tf.summary.scalar("steps/learning_rate", learning_rate)

    def images(self, images: np.ndarray, *, step: int) -> None:
        """Shows some images as the network gets them, augmented if they are: uint8[N, 28, 28]."""
        with self._writer.as_default(step=step):
            tf.summary.image("training images", images[:_IMAGES, :, :, None], max_outputs=_IMAGES)

    def epoch(self, epoch: Epoch, *, step: int, validation: Evaluation | None, last: bool) -> None:
        """Notes an epoch, draws the validation split's confusion now and then, and publishes."""
        values = {
            "epochs/loss": epoch.loss,
            "epochs/accuracy": epoch.accuracy,
            "epochs/val_loss": epoch.val_loss,
            "epochs/val_accuracy": epoch.val_accuracy,
            "epochs/images_per_second": epoch.images_per_second,
        }
        with self._writer.as_default(step=step):
            for name, value in values.items():
                if value is not None:
                    tf.summary.scalar(name, value)
            if validation is not None and (last or time.monotonic() - self._drawn > _DRAWING_PAUSE):
                tf.summary.image("confusion", _confusion(validation))
                self._drawn = time.monotonic()
        self.publish()

    def publish(self) -> None:
        """Makes what was noted visible."""
        self._writer.flush()
        self._place.publish("")


def _confusion(evaluation: Evaluation) -> np.ndarray:
    """Returns uint8[1, height, width, 3]."""
    # Matplotlib takes half a second to import.
    from digitmill.reports.charts.matrices import matrix

    drawn = matrix(evaluation.confusion.tolist(), name="confusion", title="Validation images", reading="")
    return tf.io.decode_png(drawn.chart.png, channels=3).numpy()[None]
