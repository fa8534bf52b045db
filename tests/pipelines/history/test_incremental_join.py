import csv
import dataclasses
import functools
import json
import os
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.storage import open_folder, reader
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_input import read_file
from pipelines.compact import compact_job
from pipelines.compact.compact_job import CompactOptions
from pipelines.history import incremental
from pipelines.history.past_runs import find_runs
from pipelines.output.summary import Summary
from pipelines.output.verification import verify
from pipelines.score import preview, score_job
from pipelines.score_options import ScoreOptions
from schemas.errors import StoppedError, StorageError, UserError
from schemas.failure import FailureCode, ImageError
from schemas.manifest import Manifest
from tests.beam_engines import interrupt_scoring
from tests.gcs_emulator import Bucket

FLAGS = ("--runner=FnApiRunner",)


def score(folder: object, bundle: pathlib.Path, output: object, **more: object) -> Manifest:
    options = ScoreOptions(inputs=(str(folder),), model=bundle, output=str(output), beam_flags=FLAGS, **more)
    done = score_job.run(options).manifest
    assert verify(open_folder(str(output))).findings == ()
    return done


def counts(manifest: Manifest) -> tuple[int, ...]:
    return dataclasses.astuple(manifest.counts)


def images_in(output: pathlib.Path, pattern: str = "predictions/*.csv") -> list[str]:
    found = []
    for path in output.glob(pattern):
        with path.open(newline="") as file:
            found += [row["image"].rpartition("/")[2] for row in csv.DictReader(file)]
    return sorted(found)


@pytest.fixture
def other_bundle(bundle_path: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A bundle with another card, and so another model."""
    other = tmp_path / "other"
    shutil.copytree(bundle_path, other)
    card = other / "model_card.json"
    card.write_text(card.read_text().replace('"seed": 0', '"seed": 1'))
    return other


@pytest.mark.slow
def test_three_runs_of_a_folder_that_grows_and_changes(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    nights = tmp_path / "nights"
    first = score(mixed_folder, bundle_path, nights / "1", since=str(nights))
    assert counts(first) == (65, 60, 5, 0)

    new, changed = mixed_folder / "new.png", next(mixed_folder.glob("3/*.png"))
    shutil.copy(next(mixed_folder.glob("4/*.png")), new)
    changed.write_bytes(next(mixed_folder.glob("5/*.png")).read_bytes())
    second = score(mixed_folder, bundle_path, nights / "2", since=str(nights))
    assert counts(second) == (66, 2, 0, 64)
    assert images_in(nights / "2") == sorted(["new.png", changed.name])

    gone = next(mixed_folder.glob("6/*.png"))
    gone.unlink()
    third = score(mixed_folder, bundle_path, nights / "3", since=str(nights))
    assert counts(third) == (65, 0, 0, 65)
    assert images_in(nights / "3") == []


@pytest.mark.slow
def test_a_new_file_with_an_old_modification_time_is_noticed_by_its_size(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    file, status = mixed_folder / "copy.png", None
    for night, digit in enumerate(("3", "5")):
        shutil.copy(next((mixed_folder / digit).glob("*.png")), file)
        file.write_bytes(file.read_bytes() + b"\0" * night)
        status = status or file.stat()
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        done = score(file, bundle_path, tmp_path / "nights" / str(night), since=str(tmp_path / "nights"))
        assert counts(done)[3] == 0


@pytest.mark.slow
def test_a_chain_of_runs_skips_as_much_as_the_parent_folder(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "1")
    assert counts(score(mixed_folder, bundle_path, tmp_path / "2", since=str(tmp_path / "1"))) == (
        65,
        0,
        0,
        65,
    )
    assert counts(score(mixed_folder, bundle_path, tmp_path / "3", since=str(tmp_path / "2"))) == (
        65,
        0,
        0,
        65,
    )
    retried = score(mixed_folder, bundle_path, tmp_path / "4", since=str(tmp_path / "3"), retry_failures=True)
    assert counts(retried) == (65, 0, 5, 60)


def test_failures_are_only_scored_again_with_retry_failures(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "nights" / "1")
    nights = str(tmp_path / "nights")
    retried = score(mixed_folder, bundle_path, tmp_path / "nights" / "2", since=nights, retry_failures=True)
    assert counts(retried) == (65, 0, 5, 60)
    assert images_in(tmp_path / "nights" / "2", "reports/failures.csv") == images_in(
        tmp_path / "nights" / "1", "reports/failures.csv"
    )


@pytest.mark.slow
def test_another_model_scores_everything_anew(
    mixed_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    other_bundle: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "nights" / "1")
    second = score(mixed_folder, other_bundle, tmp_path / "nights" / "2", since=str(tmp_path / "nights"))
    assert counts(second) == (65, 60, 5, 0)
    assert "1 of 1 earlier runs are not used: their model, preprocessing or" in capsys.readouterr().err
    third = score(mixed_folder, bundle_path, tmp_path / "nights" / "3", since=str(tmp_path / "nights"))
    assert counts(third) == (65, 0, 0, 65)


@pytest.mark.slow
def test_an_archive_is_retried_as_a_whole(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    shutil.make_archive(str(inputs / "all"), "zip", mixed_folder)
    shutil.copy(next(mixed_folder.glob("3/*.png")), inputs / "one.png")
    assert counts(score(inputs, bundle_path, tmp_path / "1")) == (66, 61, 5, 0)
    assert counts(score(inputs, bundle_path, tmp_path / "2", since=str(tmp_path / "1"))) == (66, 0, 0, 66)
    retried = score(inputs, bundle_path, tmp_path / "3", since=str(tmp_path / "2"), retry_failures=True)
    assert counts(retried) == (66, 60, 5, 1)


@pytest.mark.slow
def test_many_buckets_and_small_parts(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = functools.partial(incremental.bucket_count, names=40)
    monkeypatch.setattr(incremental, "bucket_count", small)
    score(digit_folder, bundle_path, tmp_path / "1", sample=300)
    second = score(digit_folder, bundle_path, tmp_path / "2", since=str(tmp_path / "1"), rows_per_part=30)
    assert counts(second) == (500, 200, 0, 300)
    rows = [part.rows for part in second.parts if part.name.endswith("tfrecord.gz")]
    assert sum(rows) == 200
    assert max(rows) <= 30
    both = images_in(tmp_path / "1") + images_in(tmp_path / "2")
    assert sorted(both) == sorted(path.name for path in digit_folder.rglob("*.png"))


@pytest.mark.slow
def test_an_interrupted_join_is_resumed(
    mixed_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "nights" / "1", limit=20)
    options = {"since": str(tmp_path / "nights"), "rows_per_part": 10}

    def fails(*_: object, **__: object) -> None:
        raise StorageError("the store is there", value="it", hint="mend it")

    monkeypatch.setattr("pipelines.scoring.scorer.Scorer.run", fails)
    with pytest.raises(StoppedError):
        score(mixed_folder, bundle_path, tmp_path / "nights" / "2", workers=1, **options)
    monkeypatch.undo()
    # A run that ends in between is none of those that this one was begun on.
    score(mixed_folder, bundle_path, tmp_path / "nights" / "0", limit=40)
    second = score(mixed_folder, bundle_path, tmp_path / "nights" / "2", **options, resume=True)
    assert counts(second)[3] == 20
    assert counts(second)[0] == 65


@pytest.mark.slow
def test_an_earlier_run_that_was_changed_is_refused(
    mixed_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "1")
    interrupt_scoring(monkeypatch)
    with pytest.raises(StoppedError):
        score(mixed_folder, bundle_path, tmp_path / "2", since=str(tmp_path / "1"))
    monkeypatch.undo()
    manifest = tmp_path / "1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"listed": 65', '"listed":  65'))
    with pytest.raises(UserError, match="the earlier run that this one builds on was changed or removed"):
        score(mixed_folder, bundle_path, tmp_path / "2", since=str(tmp_path / "1"), resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["statistics", "listing"])
@pytest.mark.parametrize("damage", [pathlib.Path.unlink, lambda path: path.write_bytes(b"?")])
def test_missing_files_of_an_earlier_run_are_reported(
    mixed_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    folder: str,
    damage: Callable,
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "1")
    for path in (tmp_path / "1" / folder).glob("*-*"):
        damage(path)
    with pytest.raises(StoppedError, match="files of an earlier run are missing or damaged"):
        score(mixed_folder, bundle_path, tmp_path / "2", since=str(tmp_path / "1"))
    options = CompactOptions(runs=(str(tmp_path / "1"),), output=str(tmp_path / "3"), beam_flags=FLAGS)
    with pytest.raises(StoppedError, match="files of an earlier run are missing or damaged"):
        compact_job.run(options)


@pytest.mark.parametrize("given", ["nothing", "empty", "unfinished"])
def test_a_folder_without_runs_is_refused(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path, given: str
) -> None:
    (tmp_path / "empty").mkdir()
    score(mixed_folder, bundle_path, tmp_path / "unfinished")
    (tmp_path / "unfinished" / "manifest.json").unlink()
    with pytest.raises(UserError, match="no finished run in this folder or below it"):
        score(mixed_folder, bundle_path, tmp_path / "out", since=str(tmp_path / given))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_runs_are_sorted_by_time(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for name in ("b", "a", "c"):
        score(mixed_folder, bundle_path, tmp_path / "nights" / name, limit=1)
    (tmp_path / "nights" / "d").mkdir()
    (tmp_path / "nights" / "notes.txt").touch()
    runs = find_runs(str(tmp_path / "nights"))
    assert [pathlib.Path(run.place).name for run in runs] == ["b", "a", "c"]
    assert not runs[0].whole
    (only,) = find_runs(str(tmp_path / "nights" / "a"))
    assert only == runs[1]


@pytest.mark.slow
def test_a_run_sorts_after_the_runs_that_it_builds_on(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    nights = tmp_path / "nights"
    for number in (1, 2, 3):
        score(mixed_folder, bundle_path, nights / str(number), since=str(nights), limit=number)
    (nights / "0").mkdir()
    text = json.loads((nights / "3" / "manifest.json").read_text())
    text["times"] |= {"begun": "2001-01-01T00:00:00.000000+00:00", "started": "2001-01-01T00:00:00.000000"}
    (nights / "3" / "manifest.json").write_text(json.dumps(text))
    assert [pathlib.Path(run.place).name for run in find_runs(str(nights))] == ["1", "2", "3"]


def test_nights_in_a_bucket(
    digits: np.ndarray, png_of: Callable, bundle_path: pathlib.Path, bucket: Bucket
) -> None:
    for number in range(30):
        bucket.put(f"in/{number}.png", png_of(digits[number]))
    nights = f"{bucket.uri}/nights"
    assert counts(score(f"{bucket.uri}/in", bundle_path, f"{nights}/1", since=nights)) == (30, 30, 0, 0)
    bucket.put("in/7.png", png_of(digits[77]))
    bucket.put("in/new.png", png_of(digits[78]))
    assert counts(score(f"{bucket.uri}/in", bundle_path, f"{nights}/2", since=nights)) == (31, 2, 0, 29)
    looked = preview.preview(
        ScoreOptions(inputs=(f"{bucket.uri}/in",), model=bundle_path, output=f"{nights}/3", since=nights)
    )
    assert (looked.listed, looked.todo.files) == (31, 0)


def test_a_bucket_listed_by_workers_is_joined(
    digits: np.ndarray,
    png_of: Callable,
    bundle_path: pathlib.Path,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(40):
        bucket.put(f"in/{number:03d}.png", png_of(digits[number]))
    monkeypatch.setattr(
        "pipelines.score.run_listing.list_with_ranges",
        lambda given, survey: begin(given, limit=7, survey=survey),
    )
    from pipelines.listing.input_listing import list_with_ranges as begin

    nights = f"{bucket.uri}/nights"
    assert counts(score(f"{bucket.uri}/in", bundle_path, f"{nights}/1", since=nights)) == (40, 40, 0, 0)
    bucket.put("in/007.png", png_of(digits[77]))
    bucket.put("in/039x.png", png_of(digits[78]))
    assert counts(score(f"{bucket.uri}/in", bundle_path, f"{nights}/2", since=nights)) == (41, 2, 0, 39)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["run", "compacted", "resumed", "skipped by a run between"])
def test_what_failed_for_reasons_of_the_storage_is_taken_up_again(
    way: str,
    digits: np.ndarray,
    png_of: Callable,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, nights = tmp_path / "in", tmp_path / "nights"
    folder.mkdir()
    good = [f"good{number}.png" for number in range(3)]
    for number, name in enumerate([*good, *(f"{code}.png" for code in FailureCode)]):
        (folder / name).write_bytes(png_of(digits[number]))

    def failing(image: ListedImage) -> bytes:
        name = image.uri.rpartition("/")[2].removesuffix(".png")
        if name in FailureCode.__members__:
            raise ImageError(FailureCode(name), "of the first night")
        return read_file(image)

    monkeypatch.setattr(reader, "read_file", failing)
    first = score(folder, bundle_path, nights / "1", max_failure_rate=1.0)
    assert counts(first) == (len(FailureCode) + 3, 3, len(FailureCode), 0)
    passing = sorted(f"{code}.png" for code in FailureCode if code.may_pass)
    content = len(FailureCode) - len(passing)
    since = {"since": str(nights), "output": nights / "2"}
    if way == "compacted":
        compact_job.run(CompactOptions(runs=(str(nights),), output=str(tmp_path / "state"), beam_flags=FLAGS))
        since["since"] = str(tmp_path / "state")
    elif way == "resumed":
        with monkeypatch.context() as patched:
            interrupt_scoring(patched)
            with pytest.raises(StoppedError):
                score(folder, bundle_path, **since)
        since["resume"] = True
    elif way == "skipped by a run between":
        # In this process, where the storage fails.
        options = {"since": str(nights), "max_failure_rate": 1.0, "workers": 1}
        between = score(folder, bundle_path, nights / "b", **options)
        assert counts(between) == (len(FailureCode) + 3, 0, len(passing), content + 3)
    monkeypatch.undo()
    second = score(folder, bundle_path, **since)
    assert images_in(nights / "2") == passing
    assert (counts(second), second.skipped_failed) == (
        (len(FailureCode) + 3, len(passing), 0, content + 3),
        content,
    )
    skipped = f"{content + 3}: 3 scored before, {content} failed before (--retry-failures scores those again)"
    assert skipped in Summary("out", second).table()
    assert f"{content} of which failed in an earlier run" in (nights / "2" / "report.html").read_text()
