import os
import sys

import pytest

from trainer.cluster.restart import PeerLostError, start_anew


@pytest.fixture
def executed(monkeypatch) -> list:
    calls: list = []
    monkeypatch.setattr(os, "execv", lambda *arguments: calls.append(arguments))
    monkeypatch.delenv("DIGITMILL_RESTARTS", raising=False)
    monkeypatch.setenv("DIGITMILL_RESTARTS", "0")
    return calls


@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_the_same_command_runs_anew_and_resumes(executed, monkeypatch, capsys, more):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "trainer.task", "--recipe", "cnn", *more])
    start_anew(PeerLostError("a worker is gone"))
    command = ["-m", "trainer.task", "--recipe", "cnn", "--resume"]
    assert executed == [(sys.executable, [sys.executable, *command])]
    assert os.environ["DIGITMILL_RESTARTS"] == "1"
    assert "a worker is gone; starting anew" in capsys.readouterr().err


def test_it_does_not_go_on_for_ever(executed, monkeypatch):
    monkeypatch.setenv("DIGITMILL_RESTARTS", "20")
    with pytest.raises(PeerLostError):
        start_anew(PeerLostError("a worker is gone"))
    assert executed == []
