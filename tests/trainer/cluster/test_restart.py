import os
import sys

import pytest

from trainer.cluster.restart import PeerLostError, restart_process


@pytest.fixture
def executed(monkeypatch) -> list:
    calls: list = []
    monkeypatch.setattr(os, "execv", lambda *arguments: calls.append(arguments))
    monkeypatch.delenv("DIGITMILL_RESTARTS", raising=False)
    monkeypatch.setenv("DIGITMILL_RESTARTS", "0")
    return calls


@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_it_runs_the_same_command_with_resume(executed, monkeypatch, capsys, more):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "trainer.task", "--recipe", "cnn", *more])
    restart_process(PeerLostError("a worker is gone"))
    command = ["-m", "trainer.task", "--recipe", "cnn", "--resume"]
    assert executed == [(sys.executable, [sys.executable, *command])]
    assert os.environ["DIGITMILL_RESTARTS"] == "1"
    assert "a worker is gone; restarting" in capsys.readouterr().err


def test_it_gives_up_after_many_restarts(executed, monkeypatch):
    monkeypatch.setenv("DIGITMILL_RESTARTS", "20")
    with pytest.raises(PeerLostError):
        restart_process(PeerLostError("a worker is gone"))
    assert executed == []
