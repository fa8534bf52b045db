import pytest

from trainer.loop.actions import progress
from trainer.loop.actions.progress import Progress
from trainer.run.history import Epoch

EPOCH = Epoch(2, 0.5, 0.8, 0.25, 0.9, 1.5, 1_234.0)


def test_an_epoch_is_a_line(capsys):
    with Progress(epochs=10, steps=5, batch=8) as shown:
        shown.finish_epoch(EPOCH)
    assert capsys.readouterr().out.startswith(
        "epoch  2/10: loss 0.5000, accuracy 80.00%, val loss 0.2500, val accuracy 90.00%, 1,234 images/s, "
    )


def test_a_long_epoch_speaks_now_and_then_of_its_steps(capsys, monkeypatch):
    now = iter(range(0, 10_000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with Progress(epochs=2, steps=1_000, batch=8) as shown:
        for _ in range(12):
            shown.advance(100, loss=0.25, accuracy=0.5)
    lines = capsys.readouterr().out.splitlines()
    assert 2 <= len(lines) < 12
    assert lines[0].startswith("epoch 1/2, step ")
    assert "/1,000: loss 0.2500, accuracy 50.00%, " in lines[0]
    assert lines[0].endswith(" s left")
    assert lines[-1].startswith("epoch 2/2, step ")


def test_a_resumed_training_counts_only_its_own_time(capsys, monkeypatch):
    now = iter(range(0, 1_000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with Progress(epochs=4, steps=10, batch=8, done=30) as shown:
        shown.advance(5, loss=0.1, accuracy=1.0)
        shown.finish_epoch(EPOCH)
    # Five steps took so long; five are left.
    said = capsys.readouterr().out.splitlines()[-1]
    assert float(said.split(", ")[-1].split()[0]) == pytest.approx(20, abs=11)


def test_only_the_chief_speaks(capsys):
    with Progress(epochs=1, steps=1, batch=1, shown=False) as shown:
        shown.advance(1, loss=0.0, accuracy=0.0)
        shown.finish_epoch(EPOCH)
    assert capsys.readouterr().out == ""
