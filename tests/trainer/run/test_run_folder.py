import pathlib

import pytest

from schemas.errors import UserError
from trainer.run import run_folder, run_location


def claim(folder) -> None:
    run_folder.claim(run_location.of_run(folder, {}))


def test_a_new_folder_is_made(tmp_path):
    claim(tmp_path / "deep" / "run")
    assert (tmp_path / "deep" / "run").is_dir()


def test_a_run_that_did_not_finish_is_taken_over(tmp_path):
    claim(tmp_path / "run")
    (tmp_path / "run" / "history.csv").write_text("epoch\n")
    claim(tmp_path / "run")


@pytest.mark.parametrize("found", ["bundle/model_card.json", "model_card.json"])
def test_a_finished_run_and_a_bundle_are_left_alone(tmp_path, found):
    (tmp_path / found).parent.mkdir(exist_ok=True)
    (tmp_path / found).write_text("{}")
    with pytest.raises(UserError, match="--output holds a finished run"):
        claim(tmp_path)
    assert (tmp_path / found).read_text() == "{}"


def test_a_file_and_a_folder_within_a_file_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match="cannot write --output"):
            claim(path)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_refused():
    with pytest.raises(UserError, match="cannot write --output"):
        claim(pathlib.Path("/proc/digitmill"))


def test_an_address_of_no_store_is_refused():
    with pytest.raises(UserError, match="neither a path nor an address in gs://"):
        claim("http://host/run")


def config_after(folder: pathlib.Path, *texts: str) -> str:
    for text in texts:
        run_folder.write_config(run_location.of_run(folder, {}), text)
    return (folder / "run.yaml").read_text()


def test_the_flags_of_an_attempt_that_has_saved_nothing_are_replaced(tmp_path):
    (tmp_path / "members" / "seed-1").mkdir(parents=True)
    assert config_after(tmp_path, "first", "second") == "second"


@pytest.mark.parametrize(
    "saved",
    [
        "checkpoints/step-0000000010.npz",
        "members/seed-1/checkpoints/step-0000000010.npz",
        "members/seed-1/bundle/model_card.json",
    ],
)
def test_the_flags_of_a_run_that_is_continued_are_kept(tmp_path, saved):
    (tmp_path / saved).parent.mkdir(parents=True)
    (tmp_path / saved).touch()
    assert config_after(tmp_path, "first", "second") == "first"
