import contextlib
import gc
import pathlib
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable

import pytest

from digitmill.commands.stop_signals import stop_signals


class Thing:
    pass


def in_weakref_callback(act: Callable[[], None]) -> None:
    thing = Thing()
    watch = weakref.ref(thing, lambda _: act())
    del thing
    assert watch() is None


def in_finalizer(act: Callable[[], None]) -> None:
    class Dying:
        def __del__(self) -> None:
            act()

    Dying()


def in_gc_callback(act: Callable[[], None]) -> None:
    def callback(phase: str, info: object) -> None:
        # Behind the collection, which in a large process takes longer than the signal is put off.
        if phase == "stop":
            act()

    gc.callbacks.append(callback)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(callback)


PLACES = [in_weakref_callback, in_finalizer, in_gc_callback]


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)]


def interrupt(place: Callable, sent: signal.Signals) -> None:
    """Check that a signal in a place where Python drops exceptions interrupts what follows."""
    before, reached = handlers(), []

    def work() -> None:
        with stop_signals():
            place(lambda: signal.raise_signal(sent))
            reached.append("dropped")
            time.sleep(60)
            reached.append("slept")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == ["dropped"]
    assert handlers() == before


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_where_python_drops_exceptions_interrupts_what_follows(
    place: Callable, sent: signal.Signals
) -> None:
    # In a process of its own: one that has run thousands of tests drops exceptions in places of its own.
    program = (
        "import signal\nfrom tests.digitmill.commands import test_stop_signals as here\n"
        f"here.interrupt(here.{place.__name__}, signal.Signals({int(sent)}))"
    )
    root = pathlib.Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True, timeout=50)


@pytest.mark.parametrize("place", PLACES)
def test_a_signal_that_was_dropped_interrupts_at_the_latest_at_the_end(place: Callable) -> None:
    def work() -> None:
        with stop_signals() as stop:
            place(lambda: signal.raise_signal(signal.SIGTERM))
            assert stop.requested

    with pytest.raises(KeyboardInterrupt):
        work()
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def drop() -> None:
    """Receive a signal in code that drops every exception."""
    with contextlib.suppress(BaseException):
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_other_code_dropped_interrupts_at_the_end() -> None:
    with pytest.raises(KeyboardInterrupt), stop_signals():
        drop()


def test_contexts_within_one_another_share_their_signals() -> None:
    begun = []

    def work() -> None:
        with stop_signals() as outer:
            drop()
            assert outer.requested
            with stop_signals():
                begun.append("inner")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert begun == []


def test_other_exceptions_that_python_drops_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(unraisable.exc_type))

    def act() -> None:
        raise LookupError

    with stop_signals():
        in_finalizer(act)
    assert seen == [LookupError]


PROGRAM = """
import atexit, os, signal, sys, weakref
import click
from digitmill.commands import main

class Thing: pass

@click.command()
@click.argument("place")
def long(place):
    send = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    thing = Thing()
    if place == "weakref":
        watch = weakref.ref(thing, send)
        del thing
    elif place == "atexit":
        atexit.register(send)
    elif place == "twice":
        for _ in range(2):
            try:
                send()
            except KeyboardInterrupt:
                pass
        print("the second signal was dropped")
    sys.exit(0) if place == "exit" and not send() else None

main(long)
"""


@pytest.mark.parametrize(
    ("place", "code", "said"),
    [
        ("weakref", 1, "digitmill: interrupted. To start again: digitmill long weakref\n"),
        ("exit", 1, "digitmill: interrupted. To start again: digitmill long exit\n"),
        ("atexit", -signal.SIGTERM, ""),
        ("twice", 1, ""),
        ("nowhere", 0, ""),
    ],
)
def test_no_process_that_was_told_to_stop_ends_well(place: str, code: int, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, place], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.lstrip("\n")) == (code, "", said)
