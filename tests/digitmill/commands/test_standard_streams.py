import os
import pathlib
import subprocess
import sys

import pytest

from digitmill.cli import VERBS

CLOSED = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]
FULL = [">/dev/full", "2>/dev/full", ">/dev/full 2>/dev/full"]
UNREAD = ["> >(:)", "2> >(:)"]


def run(arguments: str, streams: str, folder: pathlib.Path) -> subprocess.CompletedProcess:
    """Run `digitmill` with redirections of a shell's."""
    command = f'exec "{sys.executable}" -m digitmill {arguments} {streams}'
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


def done(streams: str) -> int:
    """The exit code of a verb that did its work: an answer that is lost on a full disk is an error."""
    return int(streams.startswith(">/dev/full"))


def test_an_answer_that_is_lost_is_said(tmp_path: pathlib.Path) -> None:
    lost = run("recipes --json", ">/dev/full", tmp_path)
    assert lost.returncode == 1
    assert "standard output could not be written: No space left on device." in lost.stderr


@pytest.mark.parametrize("streams", [CLOSED[-1], pytest.param("2>&-", marks=pytest.mark.slow)])
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_starts_without_streams(verb: str, streams: str, tmp_path: pathlib.Path) -> None:
    assert run(f"{verb} --help", streams, tmp_path).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("streams", [*CLOSED, *FULL, *UNREAD])
def test_a_verb_does_its_work_and_its_exit_code_is_right(streams: str, tmp_path: pathlib.Path) -> None:
    assert run("sample digits --n 10", streams, tmp_path).returncode == done(streams)
    assert len(list((tmp_path / "digits").rglob("*.png"))) == 10
    assert run("recipes --json", streams, tmp_path).returncode == done(streams)
    assert run("card nowhere", streams, tmp_path).returncode == 2


@pytest.mark.slow
@pytest.mark.parametrize("streams", [*CLOSED, *FULL, *UNREAD])
def test_a_scoring_run_writes_the_same(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, streams: str, tmp_path: pathlib.Path
) -> None:
    asked = f"score --input {digit_folder} --model {bundle_path}"
    assert run(f"{asked} --output usual", "", tmp_path).returncode == 0
    assert run(f"{asked} --output out", streams, tmp_path).returncode == done(streams)
    for usual in (tmp_path / "usual/predictions").iterdir():
        assert (tmp_path / "out/predictions" / usual.name).read_bytes() == usual.read_bytes()
    assert run("verify out", streams, tmp_path).returncode == done(streams)


def test_a_closed_descriptor_is_not_given_to_the_next_file(tmp_path: pathlib.Path) -> None:
    program = (
        "import os; from digitmill.commands import standard_streams as s; s.secure();"
        "file = open('next', 'w'); os.write(2, b'said by a library'); assert file.fileno() > 2;"
        "import subprocess; subprocess.run(['bash', '-c', 'echo it >&2 && exit 0'], check=True)"
    )
    command = ["bash", "-c", 'exec "$@" <&- >&- 2>&-', "bash", sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    assert subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode == 0
    assert (tmp_path / "next").read_bytes() == b""
