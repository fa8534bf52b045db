import os
import pathlib
import subprocess
import sys

import pytest

from digitmill.native_log import LEVEL, quiet_start, quiet_stderr

ROOT = pathlib.Path(__file__).parents[2]


def noisy() -> None:
    os.write(2, b"why it broke\n")
    raise ValueError("broken")


def test_native_code_python_and_children_are_held_back() -> None:
    code = (
        "import os, subprocess, sys; from digitmill.native_log import quiet_stderr\n"
        "with quiet_stderr():\n"
        "    with quiet_stderr():\n"
        "        os.write(2, b'inner')\n"
        "    os.write(2, b'native')\n"
        "    print('python', file=sys.stderr)\n"
        "    subprocess.run([sys.executable, '-c', 'import os; os.write(2, b\"child\")'], check=True)\n"
        "print('after', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert done.stderr == b"after\n"


def test_an_error_shows_what_was_held_back(capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(ValueError, match="broken"), quiet_stderr():
        noisy()
    assert capfd.readouterr().err == "why it broke\n"


def test_what_comes_after_is_shown(capfd: pytest.CaptureFixture) -> None:
    with quiet_stderr():
        pass
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


@pytest.mark.parametrize(("given", "level"), [({}, "2"), ({LEVEL: "0"}, "0")])
def test_tensorflow_logs_errors_alone_unless_the_user_has_set_its_level(
    given: dict, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LEVEL, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with quiet_start():
        assert os.environ[LEVEL] == level


def test_errors_that_come_as_exceptions_need_not_be_shown(capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(ValueError, match="broken"), quiet_stderr(shown_on_error=False):
        noisy()
    assert capfd.readouterr().err == ""


def test_a_closed_stderr_is_none_to_hold_back() -> None:
    code = "from digitmill.native_log import quiet_stderr\nwith quiet_stderr(): print('done')"
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code]
    assert subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout == b"done\n"


NATIVE = """
import ctypes, faulthandler, os, subprocess, sys, threading
from digitmill.native_log import without_warnings
library = ctypes.CDLL(None)

def warn(text):
    library.fputs(text, ctypes.c_void_p.in_dll(library, "stderr"))
    library.fflush(None)
"""


def error_of(code: str) -> str:
    command = [sys.executable, "-c", NATIVE + code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr


def test_native_warnings_are_dropped_and_nothing_else() -> None:
    code = """
with without_warnings():
    with without_warnings():
        warn(b"libpng warning\\n")
    warn(b"Corrupt JPEG data\\n")
    print("python", file=sys.stderr)
    subprocess.run([sys.executable, "-c", "import os; os.write(2, b'child\\\\n')"], check=True)
    pid = os.fork()
    if not pid:
        with without_warnings():
            warn(b"in a child\\n")
        print("forked", file=sys.stderr, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
warn(b"after\\n")
raise SystemExit("the end")
"""
    assert error_of(code) == "python\nchild\nforked\nafter\nthe end\n"


def test_threads_may_overlap() -> None:
    code = """
entered, left = threading.Event(), threading.Event()

def other():
    with without_warnings():
        entered.set()
        left.wait()
    warn(b"after both\\n")

thread = threading.Thread(target=other)
with without_warnings():
    thread.start()
    entered.wait()
warn(b"one is still in\\n")
left.set()
thread.join()
"""
    assert error_of(code) == "after both\n"


def test_tracebacks_and_reports_of_crashes_come_out() -> None:
    assert "ValueError: broken" in error_of("with without_warnings(): raise ValueError('broken')")
    crash = "faulthandler.enable()\nwith without_warnings(): ctypes.string_at(0)"
    assert "Fatal Python error: Segmentation fault" in error_of(crash)
