"""Writes a run's TensorBoard events: scalars, a batch of training images, the confusion matrix."""

import time
from typing import Final

import numpy as np
import tensorflow as tf

from digitmill.reports.charts.matrices import matrix
from trainer.loop.actions.action import Action, EpochReport, StepReport
from trainer.metrics.measures import Evaluation
from trainer.run.run_location import Place

_IMAGES: Final = 16
_CONFUSION_INTERVAL: Final = 30.0
"""Least time between two confusion matrices, seconds: drawing one takes about 0.3 s."""


class TensorBoard(Action):
    """Writes event files."""

    def __init__(self, place: Place) -> None:
        self._place = place
        place.folder.mkdir(parents=True, exist_ok=True)
        self._writer = tf.summary.create_file_writer(str(place.folder))
        self._drawn = -_CONFUSION_INTERVAL

    def write_images(self, images: np.ndarray, *, step: int) -> None:
        """Write the first images as the network gets them, augmented if they are: uint8[N, 28, 28]."""
        with self._writer.as_default(step=step):
            tf.summary.image("training images", images[:_IMAGES, :, :, None], max_outputs=_IMAGES)

    def after_steps(self, report: StepReport) -> None:
        """Write the chunk's mean loss and accuracy, and the learning rate."""
        with self._writer.as_default(step=report.step):
            tf.summary.scalar("steps/loss", report.loss)
            tf.summary.scalar("steps/accuracy", report.accuracy)
            tf.summary.scalar("steps/learning_rate", report.learning_rate)

    def after_epoch(self, report: EpochReport) -> None:
        """Write the epoch's metrics and, every 30 s and at the end, the confusion matrix; publishes."""
        with self._writer.as_default(step=report.step):
            for name in ("loss", "accuracy", "val_loss", "val_accuracy", "images_per_second"):
                if (value := getattr(report.epoch, name)) is not None:
                    tf.summary.scalar(f"epochs/{name}", value)
            is_due = report.is_last or time.monotonic() - self._drawn > _CONFUSION_INTERVAL
            if report.validation is not None and is_due:
                tf.summary.image("confusion", _confusion(report.validation))
                self._drawn = time.monotonic()
        self.publish()

    def publish(self) -> None:
        """Flush the events and, in a bucket, upload them."""
        self._writer.flush()
        self._place.publish("")


def _confusion(evaluation: Evaluation) -> np.ndarray:
    """Return the confusion matrix as a picture, uint8[1, height, width, 3]."""
    drawn = matrix(evaluation.confusion.tolist(), name="confusion", title="Validation images", reading="")
    return tf.io.decode_png(drawn.chart.png, channels=3).numpy()[None]
