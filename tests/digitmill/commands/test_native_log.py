import os
import pathlib
import pty
import subprocess
import sys

import pytest

from digitmill.commands import native_log
from digitmill.commands.native_log import filtered

ROOT = pathlib.Path(__file__).parents[3]
NOISE = [
    b"2026-01-02 03:04:05.678901: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.\n",
    b"I0000 00:00:1795202708.476995   10707 gpu_device.cc:2020] Created device /job:localhost\n",
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n",
    b"E0000 00:00:1795202708.476995   10707 util.cc:131] oneDNN supports DT_INT64 only on platforms with\n",
    b"2026-01-02 03:04:05.6: E external/cuda_fft.cc:467] Unable to register cuFFT factory: Attempting to\n",
    b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n",
    b"To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with flags.\n",
    b"W0000 00:00:1795202708.4 10707 tf_tfl_flatbuffer_helpers.cc:364] Ignored output_format.\n",
]
NEWS = [
    b"Traceback (most recent call last):\n",
    b"F0000 00:00:1795202708.476995   10707 cpu_feature_guard.cc:38] compiled to use AVX instructions\n",
    b"E0000 00:00:1795202708.476995   10707 cuda_executor.cc:1228] failed call to cuInit\n",
    b"2026-01-02 03:04:05.6: W tensorflow/tsl/bfc_allocator.cc:482] Allocator ran out of memory\n",
    b"Fatal Python error: Segmentation fault\n",
    b"In the middle of it: I am text\n",
    b"I am text: it has.a colon\n",
]


@pytest.mark.parametrize("line", NOISE)
def test_what_libraries_say_at_their_start_is_not_shown(line):
    assert list(filtered(iter([line]))) == []


@pytest.mark.parametrize("line", NEWS)
def test_anything_else_is(line):
    assert list(filtered(iter([line]))) == [line]


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ([b"\0hold\n", b"a\n", b"\0drop\n", b"b\n"], [b"b\n"]),
        ([b"\0hold\n", b"a\n", b"\0show\n", b"b\n"], [b"a\n", b"b\n"]),
        ([b"\0hold\n", b"last words"], [b"last words"]),
        ([b"no end of line\0hold\n", b"a\n", b"nor here\0drop\n", b"b\n"], [b"no end of line", b"b\n"]),
        ([b"\0drop\n", b"a\n"], [b"a\n"]),
    ],
)
def test_what_is_held_back_is_dropped_shown_or_the_last_word(lines, shown):
    assert list(filtered(iter(lines))) == shown


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs a program whose descriptor 2 is filtered."""
    program = f"import os, sys\nfrom digitmill.commands import native_log\nnative_log.install()\n{code}"
    clean = {name: value for name, value in os.environ.items() if name != native_log.LEVEL}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=clean | environment,
        capture_output=True,
        check=False,
        timeout=120,
    )


SAY_ALL = f"for line in {[*NOISE, *NEWS]!r}: os.write(2, line)\n"


def test_a_process_is_filtered_and_its_errors_come_through():
    done = run(SAY_ALL)
    assert (done.returncode, done.stderr.splitlines(True)) == (0, NEWS)


def test_the_last_words_of_a_crash_come_through():
    done = run(f"with native_log.held():\n    os.write(2, {NEWS[1]!r})\n    os.abort()\n")
    assert done.returncode < 0
    assert done.stderr == NEWS[1]


def test_errors_show_what_was_held_back_and_success_does_not():
    done = run(
        "with native_log.held():\n"
        "    with native_log.held():\n"
        "        os.write(2, b'inner\\n')\n"
        "    os.write(2, b'outer\\n')\n"
        "    print('python', file=sys.stderr)\n"
        "try:\n"
        "    with native_log.held():\n"
        "        print('why', file=sys.stderr)\n"
        "        raise ValueError\n"
        "except ValueError:\n"
        "    pass\n"
        "os.write(2, b'after\\n')\n"
    )
    assert (done.returncode, done.stderr) == (0, b"why\nafter\n")


def test_who_sets_the_level_sees_all():
    assert run(SAY_ALL, **{native_log.LEVEL: "0"}).stderr.splitlines(True) == [*NOISE, *NEWS]


def test_a_program_that_takes_over_has_its_own_descriptor():
    take_over = (
        "os.execv(sys.executable, [sys.executable, '-c', 'import os; os.write(2, b\"I0 1 x.cc:1] a\\\\n\")'])"
    )
    assert run(f"native_log.uninstall()\n{take_over}").stderr == b"I0 1 x.cc:1] a\n"


def test_pythons_own_text_still_goes_to_a_terminal():
    leader, follower = pty.openpty()
    says = "native_log.install()\nprint(sys.stderr.isatty(), file=sys.stderr)"
    program = f"import sys\nfrom digitmill.commands import native_log\n{says}"
    clean = {name: value for name, value in os.environ.items() if name != native_log.LEVEL}
    subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=clean, stderr=follower, check=True, timeout=120
    )
    os.close(follower)
    assert os.read(leader, 100).strip() == b"True"
    os.close(leader)
