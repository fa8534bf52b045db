import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks import process
from benchmarks.process import CommandError

MEGABYTES = 150
HOLD = f"""
import os, subprocess, sys
held = bytearray({MEGABYTES} * 2**20)
for page in range(0, len(held), 4096):
    held[page] = 1
"""


def python(code: str, **options: object) -> process.Finished:
    return process.run([sys.executable, "-c", code], **options)


def test_output_and_times_are_those_of_the_process() -> None:
    finished = python(
        "import time; until = time.process_time() + 0.3\nwhile time.process_time() < until: pass\nprint(7)"
    )
    assert finished.output == "7\n"
    # Whatever the machine does besides: work of 0.3 s cannot be done in less.
    assert finished.processor_seconds >= 0.3
    assert finished.seconds >= 0.3 / (os.cpu_count() or 1)
    assert finished.peak_bytes == 0


def test_processor_time_is_that_of_this_child_alone() -> None:
    busy = python("import time; until = time.process_time() + 0.5\nwhile time.process_time() < until: pass")
    idle = python("")
    assert idle.processor_seconds < busy.processor_seconds


def test_processor_time_of_grandchildren_counts() -> None:
    work = "import time; until = time.process_time() + 0.3\\nwhile time.process_time() < until: pass"
    finished = python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{work}'])")
    assert finished.processor_seconds >= 0.3


@contextlib.contextmanager
def held(code: str) -> Iterator[int]:
    """Run code until its first line of output, yield its process, and let it end."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "held\n"
            yield running.pid
        finally:
            # The end of its input is what it, and all below it, wait for.
            running.communicate()


def test_memory_is_that_of_the_whole_tree() -> None:
    child = HOLD + "print('held', flush=True); sys.stdin.read()"
    parent = HOLD + (
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline(), end='', flush=True)\n"
        "sys.stdin.read(); child.wait()\n"
    )
    with held(parent) as pid:
        assert process.memory_of(pid) >= 2 * MEGABYTES * 2**20


def test_pages_that_processes_share_count_once() -> None:
    forks = HOLD + (
        "read, write = os.pipe()\n"
        "for _ in range(3):\n"
        "    if not os.fork():\n"
        "        os.write(write, b'.'); sys.stdin.read(); os._exit(0)\n"
        "for _ in range(3): os.read(read, 1)\n"
        "print('held', flush=True); sys.stdin.read()\n"
        "for _ in range(3): os.wait()\n"
    )
    with held(forks) as pid:
        assert MEGABYTES * 2**20 <= process.memory_of(pid) < 2 * MEGABYTES * 2**20


def test_a_process_that_is_gone_holds_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert process.memory_of(gone.pid) == 0


def test_the_peak_is_the_greatest_sample(tmp_path: pathlib.Path) -> None:
    samples = iter([5, 9, 7])
    seen = tmp_path / "seen"

    def sample(_: int) -> int:
        found = next(samples, None)
        if found is None:
            seen.touch()
        return found or 0

    waiting = f"import os, time\nwhile not os.path.exists({str(seen)!r}): time.sleep(0.01)"
    assert python(waiting, memory=sample).peak_bytes == 9


def test_a_failing_command_is_an_error_with_what_it_said() -> None:
    with pytest.raises(CommandError, match=r"(?s)ended with 3:.*no such luck"):
        python("import sys; print('no such luck', file=sys.stderr); sys.exit(3)")


def test_a_killed_command_is_an_error() -> None:
    with pytest.raises(CommandError, match="ended with -9"):
        python("import os; os.kill(os.getpid(), 9)")


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(CommandError, match="does not start"):
        process.run(["/nowhere/at-all"])


def test_variables_are_added_to_those_there_are() -> None:
    code = "import os; print(os.environ['DIGITMILL_MARK'], 'PATH' in os.environ)"
    assert python(code, environment={"DIGITMILL_MARK": "here"}).output == "here True\n"


def test_a_process_is_kept_on_its_cores_and_this_one_is_not() -> None:
    before = os.sched_getaffinity(0)
    code = "import os; print(len(os.sched_getaffinity(0)))"
    assert python(code, cores=1).output == "1\n"
    assert python(code).output == f"{len(before)}\n"
    assert os.sched_getaffinity(0) == before


def test_much_output_does_not_block() -> None:
    assert len(python("import sys; sys.stderr.write('e' * 10**6); print('o' * 10**6)").output) == 10**6 + 1


def test_commands_run_where_the_project_is() -> None:
    assert python("import benchmarks.process; print('found')").output == "found\n"
