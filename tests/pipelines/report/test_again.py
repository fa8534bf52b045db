import dataclasses
import os
import pathlib
import subprocess
import sys

import pytest

from digitmill.storage import open_folder
from pipelines.history.past_runs import open_run
from pipelines.report.again import commands
from schemas.manifest import FieldCounts, Manifest

COMMAND = "digitmill score --input in --labels folder --output 'o 1' --resume --since=before"


def test_flags_that_do_not_fit_are_replaced(manifest: Manifest) -> None:
    launched = {"folder": "/my work", "output": "/my work/o 1"}
    found = commands(dataclasses.replace(manifest, command=COMMAND, launched=launched))
    enter = "cd '/my work' &&\n"
    assert found == {
        "Score it again, into a new output": f"{enter}digitmill score --input in --labels folder "
        "--since=before --output 'o 1-again'",
        "Score what is new since this run": f"{enter}digitmill score --input in --labels folder "
        "--since 'o 1' --output 'o 1-next'",
        "Score what failed once more": f"{enter}digitmill score --input in --labels folder "
        "--retry-failures --since 'o 1' --output 'o 1-retried'",
        "Label what is for review": f"{enter}digitmill review 'o 1'",
        "Check every file of the output": f"{enter}digitmill verify 'o 1'",
    }


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, False),
        ({"fields": FieldCounts(accepted=3)}, False),
        ({"fields": FieldCounts(accepted=3, invalid=1)}, True),
        ({"options": {"audit": 20}}, True),
        ({"accepted": 59}, True),
    ],
)
def test_review_is_offered_where_its_page_shows_anything(
    manifest: Manifest, more: dict, expected: bool
) -> None:
    changed = dataclasses.replace(manifest, command=COMMAND, **{"accepted": 60, **more})
    assert ("Label what is for review" in commands(changed)) == expected


def test_a_merged_run_is_repeated_but_not_scored(manifest: Manifest) -> None:
    found = commands(dataclasses.replace(manifest, command="digitmill compact a b --output o --resume"))
    assert found["Repeat it, into a new output"] == "digitmill compact a b --output o-again"
    assert not any("score" in command for command in found.values())


@pytest.mark.parametrize("command", ["", "digitmill score --input $'a\\nb' --output o"])
def test_what_cannot_be_read_is_left_as_it_is(manifest: Manifest, command: str) -> None:
    assert list(commands(dataclasses.replace(manifest, command=command)).values()) == [command] * bool(
        command
    )


@pytest.mark.slow
def test_pasted_commands_work(digit_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "my scans"
    folder.mkdir()
    for path in sorted(digit_folder.glob("[01]/*.png"))[:20]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "bad.png").write_bytes(b"")

    def paste(command: str, where: pathlib.Path) -> None:
        path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
        subprocess.run(["bash", "-c", command], cwd=where, env=os.environ | {"PATH": path}, check=True)

    paste(
        "digitmill score --input 'my scans' --max-failure-rate 1 --accept-threshold 0.99999 --output out",
        tmp_path,
    )
    run = open_run(str(tmp_path / "out"))
    assert run is not None
    found = commands(run.manifest)
    assert len(found) == 5
    for command in found.values():
        paste(command, pathlib.Path("/"))
    for name in ("again", "next", "retried"):
        assert open_folder(str(tmp_path / f"out-{name}")).exists("manifest.json")
