import csv

from trainer import history
from trainer.history import Epoch


def test_it_is_written_and_read_back(tmp_path):
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


def test_it_is_written_anew(tmp_path):
    epoch = Epoch(1, 0.5, 0.8, 0.25, 0.9, 1.5, 1_000.0)
    history.write([epoch, epoch], tmp_path)
    history.write([epoch], tmp_path)
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2
