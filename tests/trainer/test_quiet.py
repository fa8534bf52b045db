import os

import pytest

from trainer.quiet import quiet_stderr


def noisy() -> None:
    os.write(2, b"why it broke\n")
    raise ValueError("broken")


def test_native_and_python_chatter_is_held_back(run_python):
    code = (
        "import os, subprocess, sys; from trainer.quiet import quiet_stderr\n"
        "def chatter():\n"
        "    os.write(2, b'native')\n"
        "    print('python', file=sys.stderr)\n"
        "    subprocess.run([sys.executable, '-c', 'import os; os.write(2, b\"child\")'], check=True)\n"
        "os.dup2(1, 2)\n"  # whatever reaches standard error is printed
        "with quiet_stderr():\n"
        "    chatter()\n"
        "print('after', file=sys.stderr)\n"
    )
    assert run_python(code) == "after\n"


def test_an_error_shows_what_was_held_back(capfd):
    with pytest.raises(ValueError, match="broken"), quiet_stderr():
        noisy()
    assert capfd.readouterr().err == "why it broke\n"


def test_what_comes_after_is_shown(capfd):
    with quiet_stderr():
        pass
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
