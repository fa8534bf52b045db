import pytest

from benchmarks import training
from benchmarks.process import Finished


def test_ways_to_train_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []

    def run(command: list) -> Finished:
        commands.append(command)
        return Finished("words 1.5\n", 9.0, 8.0)

    monkeypatch.setattr(training.process, "run", run)
    runs = list(training.training("cnn", images=500, rounds=2))
    assert [one.contender for one in runs] == [*training.CONTENDERS] * 2
    assert {(one.model, one.images, one.pipeline_seconds) for one in runs} == {("cnn", 500, 1.5)}
    assert [command[3:] for command in commands[:2]] == [
        ["digitmill", "cnn", 500],
        ["numpy", "cnn", 500],
    ]


@pytest.mark.parametrize(
    "way", ["digitmill", *(pytest.param(way, marks=pytest.mark.slow) for way in ("numpy", "tf.data"))]
)
def test_an_epoch_is_timed_in_each_way(way: str, capsys: pytest.CaptureFixture) -> None:
    from benchmarks import epochs

    epochs.main(way, "dense-128", "256")
    assert float(capsys.readouterr().out.split()[-1]) > 0
