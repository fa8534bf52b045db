import pathlib

import pytest

from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.local_output import LocalFolder
from pipelines.output import output_run
from pipelines.output.output_run import remove_started_run
from schemas import run_plan
from schemas.errors import UserError
from schemas.layout import LISTING, PREDICTIONS, STATISTICS


def test_of_a_run_whose_inputs_are_unusable_nothing_is_left(tmp_path: pathlib.Path) -> None:
    output = LocalFolder(tmp_path)
    for name in ("run.yaml", "run.json", *(f"{folder}/a" for folder in (LISTING, PREDICTIONS, STATISTICS))):
        output.write_once(name, b"{}")
    output.write_once("notes.txt", b"somebody's own")
    remove_started_run(output)
    assert list(output.walk()) == ["notes.txt"]


def test_a_run_that_begins_while_the_folder_is_looked_at_is_no_other_use_of_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = open_folder(str(tmp_path / "out"))
    output.claim()
    check = type(output).check

    def begun_meanwhile(folder: OutputFolder, *names: str) -> None:
        folder.write_once(run_plan.FILE, b"{}")
        check(folder, *names)

    monkeypatch.setattr(type(output), "check", begun_meanwhile)
    with pytest.raises(UserError, match="the output already holds an unfinished run"):
        output_run.has_begun(output, run_plan.FILE, resume=False)
    assert output_run.has_begun(output, run_plan.FILE, resume=True)


def test_a_folder_of_other_files_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="the output folder is not empty"):
        output_run.has_begun(open_folder(str(tmp_path)), run_plan.FILE, resume=False)
