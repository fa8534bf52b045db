import os
import pathlib
import subprocess
import sys

import pytest

from digitmill.commands.native_log import LEVEL, quiet_start, quiet_stderr

ROOT = pathlib.Path(__file__).parents[3]


def noisy() -> None:
    os.write(2, b"why it broke\n")
    raise ValueError("broken")


def test_native_code_python_and_children_are_held_back() -> None:
    code = (
        "import os, subprocess, sys; from digitmill.commands.native_log import quiet_stderr\n"
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
