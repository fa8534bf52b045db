import csv
import dataclasses
import hashlib
import json
import os
import pathlib

import pytest

from digitmill.storage.names import path_of
from pipelines.score import score_job
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from schemas.errors import UnreconciledError, UserError
from schemas.manifest import Manifest

FLAGS = ("--runner=FnApiRunner",)


def options(
    folder: pathlib.Path, bundle_path: pathlib.Path, output: pathlib.Path, **more: object
) -> ScoreOptions:
    return ScoreOptions(
        inputs=(str(folder),), model=bundle_path, output=str(output), beam_flags=FLAGS, **more
    )


def test_a_run_from_folder_to_manifest(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = tmp_path / "out"
    summary = run(options(digit_folder, bundle_path, output, labels="folder"))
    manifest = Manifest.from_json((output / "manifest.json").read_text())
    assert manifest == summary.manifest
    assert manifest.status == "complete"
    assert dataclasses.astuple(manifest.counts) == (500, 500, 0, 0)
    assert manifest.accuracy.value > 0.85
    on_disk = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    named = {part.name for part in manifest.parts}
    assert on_disk == named | {"manifest.json"}
    for part in manifest.parts:
        data = (output / part.name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (part.bytes, part.sha256)


def test_bad_files_are_one_failure_row_each_and_harm_nothing(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = tmp_path / "out"
    summary = run(options(mixed_folder, bundle_path, output, labels="folder"))
    assert dataclasses.astuple(summary.manifest.counts) == (65, 60, 5, 0)
    with (output / "reports/failures.csv").open(newline="") as file:
        failed = {os.fsdecode(path_of(row["image"])): row["code"] for row in csv.DictReader(file)}
    predicted = set()
    for part in (output / "predictions").glob("*.csv"):
        with part.open(newline="") as file:
            predicted |= {os.fsdecode(path_of(row["image"])) for row in csv.DictReader(file)}
    files = {str(path) for path in mixed_folder.rglob("*") if path.is_file()}
    assert predicted | set(failed) == files
    assert not predicted & set(failed)
    assert sorted(failed.values()) == ["BLANK", "CORRUPT", "EMPTY", "UNSUPPORTED", "UNSUPPORTED"]


@pytest.mark.slow
def test_reruns_are_byte_identical_but_for_times(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    contents = []
    for name in ("one", "two"):
        run(options(mixed_folder, bundle_path, tmp_path / name))
        files = (path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files})
    timed = {"manifest.json", "report.html"}
    assert {name: data for name, data in contents[0].items() if name not in timed} == {
        name: data for name, data in contents[1].items() if name not in timed
    }


def test_the_threshold_of_the_card_is_the_default(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    card = json.loads((bundle_path / "model_card.json").read_text())
    default = run(options(digit_folder, bundle_path, tmp_path / "a")).manifest
    stricter = run(options(digit_folder, bundle_path, tmp_path / "b", accept_threshold=0.99)).manifest
    assert default.options["accept_threshold"] == card["accept_threshold"]
    assert stricter.options["accept_threshold"] == 0.99
    assert stricter.accepted < default.accepted


def test_a_finished_output_is_refused_and_left_alone(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run(options(mixed_folder, bundle_path, tmp_path / "out"))
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    with pytest.raises(UserError, match="the output folder already holds a finished run"):
        run(options(mixed_folder, bundle_path, tmp_path / "out"))
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("occupied", "why"),
    [("folder", "the output folder is not empty"), ("file", "the output is a file, not a folder")],
)
def test_an_occupied_output_is_refused(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path, occupied: str, why: str
) -> None:
    output = tmp_path / "out"
    if occupied == "folder":
        output.mkdir()
        (output / "mine.txt").touch()
    else:
        output.touch()
    with pytest.raises(UserError, match=why):
        run(options(mixed_folder, bundle_path, output))


def test_an_output_below_a_file_is_refused(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot list the output folder"):
        run(options(mixed_folder, bundle_path, tmp_path / "file" / "out"))


def test_what_is_refused_writes_nothing(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    good = options(mixed_folder, bundle_path, tmp_path / "out")
    for change in (
        {"inputs": (str(tmp_path / "none"),)},
        {"model": tmp_path / "none"},
        {"labels": str(tmp_path / "none.csv")},
        {"beam_flags": ("--no-such-flag",)},
    ):
        with pytest.raises(UserError):
            run(dataclasses.replace(good, **change))
        assert not (tmp_path / "out").exists()


def test_more_failures_than_allowed_make_a_failed_run_that_is_accounted_for(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    over = run(options(mixed_folder, bundle_path, tmp_path / "over"))
    assert (over.manifest.status, over.exit_code) == ("over_budget", 3)
    assert "7.7% of the images, more than the 5.0% allowed (--max-failure-rate)" in over.table()
    assert (tmp_path / "over" / "report.html").exists()
    within = run(options(mixed_folder, bundle_path, tmp_path / "within", max_failure_rate=0.08))
    assert (within.manifest.status, within.exit_code) == ("complete", 0)


def test_the_first_images_or_a_sample(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    names = sorted(path.as_uri() for path in digit_folder.rglob("*.png"))
    chosen = []
    for number, more in enumerate(({"limit": 30}, {"sample": 30}, {"sample": 30})):
        run(options(digit_folder, bundle_path, tmp_path / str(number), **more))
        (part,) = (tmp_path / str(number) / "predictions").glob("*.csv")
        with part.open(newline="") as file:
            chosen.append([row["image"] for row in csv.DictReader(file)])
    assert chosen[0] == names[:30]
    assert chosen[1] == chosen[2] != chosen[0]
    assert len(chosen[1]) == 30
    with pytest.raises(UserError, match="--limit and --sample exclude each other"):
        options(digit_folder, bundle_path, tmp_path / "x", limit=1, sample=1)
    with pytest.raises(UserError, match="--retry-failures needs --since"):
        options(digit_folder, bundle_path, tmp_path / "x", retry_failures=True)


def test_an_unreconciled_run_has_no_manifest(
    mixed_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = score_job.reconcile

    def after_a_loss(*arguments: object, **named: object) -> object:
        next((tmp_path / "out" / "statistics").iterdir()).unlink()
        return real(*arguments, **named)

    monkeypatch.setattr(score_job, "reconcile", after_a_loss)
    with pytest.raises(UnreconciledError, match="no statistics record of a work item"):
        run(options(mixed_folder, bundle_path, tmp_path / "out"))
    assert not (tmp_path / "out" / "manifest.json").exists()
