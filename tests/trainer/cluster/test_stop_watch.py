"""The watch, in processes of their own: it ends them."""

import signal
import subprocess
import sys

import pytest

from trainer.cluster.stop_watch import StopWatch, in_steps

# A read that the system goes on with after a signal, as TensorFlow's waiting is, in a file of TensorFlow's.
WAITING = """
import ctypes, os, signal, sys
from trainer.cluster.stop_watch import StopWatch
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: None)  # harmless also if it comes before the read
    signal.siginterrupt(number, False)
descriptor, _ = os.pipe()
code = "libc.read(descriptor, buffer, 1)"
names = {"libc": ctypes.CDLL(None), "descriptor": descriptor, "buffer": ctypes.create_string_buffer(1)}
watch = StopWatch("the peers did not come", ends=sys.argv[2] == "ends")
with watch.watching():
    print("ready", flush=True)
    exec(compile(code, sys.argv[1], "exec"), names)
"""


# Many short operations, one after the other, as of an evaluation: each at the same place as the one before.
WORKING = """
import signal, sys, time
from trainer.cluster.stop_watch import StopWatch
signal.signal(signal.SIGTERM, lambda *_: None)
names = {"sleep": time.sleep}
exec(compile("def operation():\\n    sleep(0.01)", sys.argv[1], "exec"), names)
operation, until = names["operation"], time.monotonic() + 6
with StopWatch("it does not go on", ends=True).watching():
    print("ready", flush=True)
    while time.monotonic() < until:
        operation()
"""


def process(*arguments: str, code: str = WAITING) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_process_that_waits_in_tensorflow_is_ended(sent, code):
    waiting = process("/site/tensorflow/python/eager/execute.py", "ends")
    assert waiting.stdout.readline() == "ready\n"
    waiting.send_signal(sent)
    _, said = waiting.communicate(timeout=60)
    assert (waiting.returncode, said) == (code, "digitmill: the peers did not come\n")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("/site/numpy/core.py", "ends"), ("/tensorflow/python/x.py", "stays")])
def test_a_process_that_waits_for_nobody_is_left_alone(arguments):
    waiting = process(*arguments)
    assert waiting.stdout.readline() == "ready\n"
    waiting.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.communicate(timeout=6)
    waiting.kill()
    waiting.communicate()


@pytest.mark.slow
def test_a_process_that_goes_on_is_left_alone():
    working = process("/site/tensorflow/python/eager/execute.py", code=WORKING)
    assert working.stdout.readline() == "ready\n"
    working.send_signal(signal.SIGTERM)
    _, said = working.communicate(timeout=60)
    assert (working.returncode, said) == (0, "")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_signal_makes_the_exit_code(sent, code):
    watch = StopWatch("", ends=True)
    before = signal.signal(sent, lambda *_: None)
    try:
        with watch.watching():
            signal.raise_signal(sent)
            assert watch.code == code
    finally:
        signal.signal(sent, before)


def test_steps_are_granted_what_the_last_ones_took():
    before = StopWatch.patience
    with in_steps() as record:
        first = StopWatch.patience
        record(0.1)
        assert StopWatch.patience == before
        record(10.0)
        assert StopWatch.patience == 20.0
    assert first > before
    assert StopWatch.patience == before
