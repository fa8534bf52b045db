import pytest

from tests.trainer.loop.actions.reports import EPOCH, epoch_report, step_report
from trainer.loop.actions import progress
from trainer.loop.actions.progress import Progress


def test_an_epoch_is_a_line(capsys):
    with Progress(epochs=10, steps=5, batch=8) as shown:
        shown.after_epoch(epoch_report(EPOCH))
    assert capsys.readouterr().out.startswith(
        "epoch  2/10: loss 0.5000, accuracy 80.00%, val loss 0.2500, val accuracy 90.00%, 1,234 images/s, "
    )


def test_a_long_epoch_prints_some_of_its_steps(capsys, monkeypatch):
    now = iter(range(0, 10_000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with Progress(epochs=2, steps=1_000, batch=8) as shown:
        for done in range(100, 1_300, 100):
            epoch, last = divmod(done - 1, 1_000)
            shown.after_steps(
                step_report(
                    step=done,
                    epoch=epoch + 1,
                    last=last + 1,
                    ends_epoch=done == 1_000,
                    epoch_loss=0.25,
                    epoch_accuracy=0.5,
                )
            )
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
        shown.after_steps(step_report(step=35))
        shown.after_epoch(epoch_report(EPOCH))
    # Five steps took that long; five are left.
    line = capsys.readouterr().out.splitlines()[-1]
    assert float(line.split(", ")[-1].split()[0]) == pytest.approx(20, abs=11)


def test_only_the_chief_prints(capsys):
    with Progress(epochs=1, steps=1, batch=1, enabled=False) as shown:
        shown.after_steps(step_report(ends_epoch=True))
        shown.after_epoch(epoch_report())
    assert capsys.readouterr().out == ""
