import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.loop.actions.reports import epoch_report, step_report
from trainer.loop.actions.tensorboard import TensorBoard
from trainer.metrics.measures import Evaluation
from trainer.run.history import Epoch
from trainer.run.run_location import LocalPlace

EPOCH = Epoch(1, 0.5, 0.8, 0.25, 0.9, 1.5, 1_000.0)


def evaluation() -> Evaluation:
    return Evaluation.of(np.arange(10, dtype=np.uint8), np.eye(10, dtype=np.float32))


def events(folder) -> dict[str, list[tuple[int, object]]]:
    """What was written: by tag the steps and values, images as arrays."""
    found: dict[str, list[tuple[int, object]]] = {}
    for file in sorted(folder.glob("events.*")):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                content = tf.make_ndarray(value.tensor)
                decoded = (
                    float(content)
                    if content.ndim == 0
                    else [tf.io.decode_png(image).numpy() for image in content[2:]]
                )
                found.setdefault(value.tag, []).append((event.step, decoded))
    return found


@pytest.mark.slow
def test_chunks_and_epochs_become_scalars(tmp_path):
    board = TensorBoard(LocalPlace(tmp_path / "board"))
    board.after_steps(step_report(step=20, loss=1.5, accuracy=0.5, learning_rate=0.125))
    board.after_steps(step_report(step=40, loss=0.75, accuracy=0.625, learning_rate=0.25))
    board.after_epoch(epoch_report(EPOCH, step=40, validation=evaluation()))
    found = events(tmp_path / "board")
    assert found["steps/loss"] == [(20, 1.5), (40, 0.75)]
    assert found["steps/accuracy"] == [(20, 0.5), (40, 0.625)]
    assert found["steps/learning_rate"] == [(20, 0.125), (40, 0.25)]
    assert found["epochs/val_loss"] == [(40, 0.25)]
    assert found["epochs/images_per_second"] == [(40, 1000.0)]


def test_without_validation_there_are_no_validation_scalars(tmp_path):
    board = TensorBoard(LocalPlace(tmp_path))
    board.after_epoch(epoch_report(Epoch(1, 0.5, 0.8, None, None, 1.5, 1_000.0), is_last=True))
    assert set(events(tmp_path)) == {"epochs/loss", "epochs/accuracy", "epochs/images_per_second"}


def test_images_are_shown_as_the_network_gets_them(tmp_path, few_digits):
    board = TensorBoard(LocalPlace(tmp_path))
    board.write_images(few_digits.train.images[:40], step=0)
    board.publish()
    ((step, images),) = events(tmp_path)["training images"]
    assert (step, len(images)) == (0, 16)
    assert (images[3][:, :, 0] == few_digits.train.images[3]).all()


def test_confusion_is_drawn_first_and_last_and_rarely_between(tmp_path):
    board = TensorBoard(LocalPlace(tmp_path))
    for step in range(5):
        board.after_epoch(epoch_report(EPOCH, step=step, validation=evaluation(), is_last=step == 4))
    drawn = events(tmp_path)["confusion"]
    assert [step for step, _ in drawn] == [0, 4]
    assert drawn[0][1][0].shape[2] == 3
