import os
import signal
import threading

import pytest

from schemas.errors import ExitCode
from trainer.loop.actions.preemption import PreemptedError, Preemption


def test_sigterm_sets_the_flag_and_the_handler_is_restored():
    before = signal.getsignal(signal.SIGTERM)

    def act() -> None:
        with Preemption() as preemption:
            assert not preemption.preempted
            os.kill(os.getpid(), signal.SIGTERM)
            assert preemption.preempted
            raise PreemptedError("all is saved")

    with pytest.raises(PreemptedError):
        act()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_unpolled_signal_is_raised_on_exit(sent: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), Preemption():
        signal.raise_signal(sent)


def test_a_handled_ctrl_c_is_not_raised_again():
    def act() -> None:
        with Preemption() as preemption:
            signal.raise_signal(signal.SIGINT)
            assert preemption.preempted
            raise PreemptedError("all is saved")

    with pytest.raises(PreemptedError):
        act()


def test_a_signal_that_was_ignored_stays_ignored():
    # A shell without job control starts background jobs so: Ctrl-C is meant for the program in front.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Preemption() as preemption:
            signal.raise_signal(signal.SIGINT)
            assert not preemption.preempted
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_there_is_no_handler():
    before, found = signal.getsignal(signal.SIGTERM), []

    def enter() -> None:
        with Preemption() as preemption:
            found.append((preemption.preempted, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [(False, before)]


def test_the_exit_code_is_that_of_a_terminated_process():
    assert PreemptedError("told").code == ExitCode.TERMINATED == 128 + signal.SIGTERM
