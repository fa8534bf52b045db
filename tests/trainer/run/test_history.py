import csv

from trainer.run import history
from trainer.run.history import Epoch, best_epoch


def test_the_history_is_read_back(tmp_path):
    epochs = [Epoch(1, 0.5, 0.8, 0.25, 0.9, 1.5, 1_000.0), Epoch(2, 0.125, 0.95, None, None, 1.25, 1_200.0)]
    history.write(epochs, tmp_path)
    with (tmp_path / "history.csv").open(newline="") as opened:
        header, *rows = csv.reader(opened)
    assert header == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds", "images_per_second"]
    assert rows == [
        ["1", "0.5", "0.8", "0.25", "0.9", "1.5", "1000.0"],
        ["2", "0.125", "0.95", "", "", "1.25", "1200.0"],
    ]
    assert history.read(tmp_path / "history.csv") == epochs


def test_the_file_is_overwritten(tmp_path):
    epoch = Epoch(1, 0.5, 0.8, 0.25, 0.9, 1.5, 1_000.0)
    history.write([epoch, epoch], tmp_path)
    history.write([epoch], tmp_path)
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2


def test_the_best_epoch_is_the_most_accurate_then_of_least_loss_then_first():
    def epoch(number: int, accuracy: float | None, loss: float | None) -> Epoch:
        return Epoch(number, 0.5, 0.8, loss, accuracy, 1.5, 1_000.0)

    assert best_epoch([]) == 0
    assert best_epoch([epoch(1, None, None)]) == 0
    assert best_epoch([epoch(1, 0.9, 0.2), epoch(2, 0.8, 0.1)]) == 1
    assert best_epoch([epoch(1, 0.9, 0.2), epoch(2, 0.9, 0.1), epoch(3, 0.9, 0.1)]) == 2
