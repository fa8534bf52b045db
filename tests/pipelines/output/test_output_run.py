import pathlib

from digitmill.storage.local_output import LocalFolder
from pipelines.output.output_run import remove_started_run
from schemas.layout import LISTING, PREDICTIONS, STATISTICS


def test_of_a_run_whose_inputs_are_unusable_nothing_is_left(tmp_path: pathlib.Path) -> None:
    output = LocalFolder(tmp_path)
    for name in ("run.yaml", "run.json", *(f"{folder}/a" for folder in (LISTING, PREDICTIONS, STATISTICS))):
        output.write_once(name, b"{}")
    output.write_once("notes.txt", b"somebody's own")
    remove_started_run(output)
    assert list(output.walk()) == ["notes.txt"]
