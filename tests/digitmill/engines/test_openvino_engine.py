import subprocess
import sys

from digitmill.default_model import SHIPPED_MODEL

PROGRAM = """
import signal, sys, threading
from digitmill.engines.openvino_engine import OpenVinoEngine

{before}
engine = OpenVinoEngine(open(sys.argv[1], "rb").read())
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
signal.raise_signal(signal.SIGTERM)
print(*(thread.name for thread in threading.enumerate()))
del engine
signal.raise_signal(signal.SIGTERM)
"""


def run_program(before: str = "") -> str:
    """Return what a process prints that loads the engine, then receives signals.

    In a process of its own: a broken signal stack would kill the one that runs tests.
    """
    command = [sys.executable, "-c", PROGRAM.format(before=before), str(SHIPPED_MODEL / "model.tflite")]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout


def test_signals_are_handled_after_a_model_was_compiled() -> None:
    assert run_program() == "handled\nMainThread\nhandled\n"


def test_the_signal_stack_of_the_fault_handler_is_kept() -> None:
    assert run_program("import faulthandler; faulthandler.enable()") == "handled\nMainThread\nhandled\n"
