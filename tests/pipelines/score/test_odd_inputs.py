"""Inputs with junk, links, odd times and folders that cannot be read, and runs that build on theirs."""

import contextlib
import csv
import dataclasses
import io
import os
import pathlib
import shutil
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from digitmill.storage.local_output import LocalFolder
from pipelines.compact import compact_job
from pipelines.compact.compact_options import CompactOptions
from pipelines.output.verification import verify
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from pipelines.scoring.classify import Classifier
from schemas.errors import StoppedError, UserError
from schemas.manifest import Manifest
from tests.digit_folders import write_digits


def score(folder: object, bundle: pathlib.Path, output: pathlib.Path, **more: object) -> Manifest:
    given = ScoreOptions(
        (str(folder),),
        bundle,
        str(output),
        beam_flags=("--runner=FnApiRunner",),
        max_failure_rate=1.0,
        **more,
    )
    found = run(given).manifest
    assert not verify(LocalFolder(output)).findings
    return found


def counts(found: Manifest) -> tuple[int, ...]:
    return (*dataclasses.astuple(found.counts), found.skipped_failed, found.ignored)


def failures(output: pathlib.Path) -> dict[str, dict[str, str]]:
    with (output / "reports/failures.csv").open(newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


@pytest.fixture
def scans(tmp_path: pathlib.Path, digits: np.ndarray, labels: np.ndarray, png_of: Callable) -> pathlib.Path:
    """Eight digits, in folders by their label."""
    return write_digits(tmp_path / "scans", digits[:8], labels[:8], png_of)


def zip_of(path: pathlib.Path, members: dict[str, bytes]) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    path.write_bytes(data.getvalue())


@contextlib.contextmanager
def unreadable(folder: pathlib.Path) -> Iterator[None]:
    """A folder that cannot be listed: the tests may run as root, who may read all."""
    scandir = os.scandir

    def refuse(path: object) -> object:
        if isinstance(path, bytes) and os.path.realpath(path) == os.fsencode(folder):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        yield


def test_files_of_any_time_are_scored_and_a_resumed_run_ends(
    scans: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for file, time in zip(sorted(scans.rglob("*.png")), (-1, -(10**18), 2**63, 10**19), strict=False):
        os.utime(file, ns=(time, time))
    (scans / "bad.png").write_bytes(b"no image")
    os.utime(scans / "bad.png", ns=(10**19, 10**19))
    output = tmp_path / "out"
    assert counts(score(scans, bundle_path, output)) == (9, 8, 1, 0, 0, 0)
    (row,) = failures(output).values()
    assert 0 <= int(row["generation"]) < 2**63
    assert counts(score(scans, bundle_path, output, resume=True)) == (9, 8, 1, 0, 0, 0)


@pytest.mark.slow
def test_an_unreadable_folder_fails_and_is_taken_up_again(
    scans: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    closed = scans / "closed"
    closed.mkdir()
    shutil.copy(next(scans.rglob("*.png")), closed / "1.png")
    nights = tmp_path / "nights"
    with unreadable(closed):
        assert counts(score(scans, bundle_path, nights / "1", since=str(nights))) == (9, 8, 1, 0, 0, 0)
        ((name, row),) = failures(nights / "1").items()
        assert name == f"{closed.as_uri()}/"
        assert (row["code"], row["generation"]) == ("DENIED", "0")
        assert counts(score(scans, bundle_path, nights / "2", since=str(nights))) == (9, 0, 1, 8, 0, 0)
        with pytest.raises(UserError, match="cannot list the folder"):
            score(scans, bundle_path, tmp_path / "strict", strict_listing=True)
    assert not (tmp_path / "strict").exists()
    assert counts(score(scans, bundle_path, nights / "3", since=str(nights))) == (9, 1, 0, 8, 0, 0)
    merged = compact_job.run(CompactOptions(runs=(str(nights),), output=str(tmp_path / "state"))).manifest
    assert counts(merged)[:4] == (9, 9, 0, 0)


def test_folders_that_vanish_cost_nothing_else(
    scans: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scans / "gone").mkdir()
    (scans / "gone/1.png").touch()
    scandir = os.scandir

    def vanish(path: object) -> object:
        entries = scandir(path)
        if path == os.fsencode(scans):
            listed = list(entries)
            shutil.rmtree(scans / "gone", ignore_errors=True)
            return contextlib.nullcontext(listed)
        return entries

    monkeypatch.setattr(os, "scandir", vanish)
    found = score(scans, bundle_path, tmp_path / "out")
    assert (counts(found), found.vanished) == ((8, 8, 0, 0, 0, 0), 1)


def test_junk_is_counted_beside_what_is_listed_in_folders_and_archives(
    scans: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    content = next(scans.rglob("*.png")).read_bytes()
    for name in (".DS_Store", "3/Thumbs.db", "3/._1.png", "__MACOSX/3/._1.png"):
        (scans / name).parent.mkdir(parents=True, exist_ok=True)
        (scans / name).write_bytes(b"junk")
    members = {"1.png": content, "__MACOSX/._1.png": b"junk", ".DS_Store": b"junk", "2.png": content}
    zip_of(scans / "more.zip", members)
    found = score(scans, bundle_path, tmp_path / "out", exclude=("0/**", "1/**"))
    kept = [path for path in scans.glob("[2-9]/*.png") if not path.name.startswith(".")]
    expected = len(kept) + 2
    assert counts(found) == (expected, expected, 0, 0, 0, 4 + 2 + 8 - len(kept))
    assert found.options["exclude"] == "0/** 1/**"
    with pytest.raises(UserError, match="exclude was"):
        score(scans, bundle_path, tmp_path / "out", resume=True)


@pytest.mark.slow
def test_skipped_images_are_counted_one_by_one_and_apart_from_failed_ones(
    scans: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    content = next(scans.rglob("*.png")).read_bytes()
    zip_of(scans / "good.zip", {f"{number}.png": content for number in range(5)})
    zip_of(scans / "mixed.zip", {"1.png": content, "bad.png": b"no image", "empty.png": b""})
    (scans / "bad.png").write_bytes(b"no image")
    first, second, third = (tmp_path / name for name in ("1", "2", "3"))
    assert counts(score(scans, bundle_path, first)) == (17, 14, 3, 0, 0, 0)
    (scans / "new.png").write_bytes(content)
    assert counts(score(scans, bundle_path, second, since=str(first))) == (18, 1, 0, 17, 3, 0)
    # The last run alone knows of the images that it skipped itself.
    found = score(scans, bundle_path, third, since=str(second))
    assert counts(found) == (18, 0, 0, 18, 3, 0)
    again = score(scans, bundle_path, tmp_path / "4", since=str(second), retry_failures=True)
    assert counts(again) == (18, 1, 3, 14, 0, 0)
    merged = compact_job.run(
        CompactOptions(runs=tuple(map(str, (first, second, third))), output=str(tmp_path / "state"))
    ).manifest
    assert counts(merged) == (18, 15, 3, 0, 0, 0)
    later = score(scans, bundle_path, tmp_path / "later", since=str(tmp_path / "state"))
    assert counts(later) == (18, 0, 0, 18, 3, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "taken_up"), [(PermissionError(13, "Permission denied"), True), (None, False)]
)
def test_failures_through_storage_are_taken_up_again_without_being_asked(
    scans: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError | None,
    taken_up: bool,
) -> None:
    victim = sorted(scans.rglob("*.png"))[3]
    if error is None:
        victim.write_bytes(b"no image")
    real = os.open

    def refuse(path: object, *arguments: int, **more: object) -> int:
        if error is not None and os.fsencode(path) == os.fsencode(victim):
            raise error
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", refuse)
    assert counts(score(scans, bundle_path, tmp_path / "1")) == (8, 7, 1, 0, 0, 0)
    monkeypatch.undo()
    found = score(scans, bundle_path, tmp_path / "2", since=str(tmp_path / "1"))
    assert counts(found) == ((8, 1, 0, 7, 0, 0) if taken_up else (8, 0, 0, 8, 1, 0))


@pytest.mark.slow
def test_an_input_written_in_other_ways_is_the_same_one(
    scans: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(scans)
    monkeypatch.chdir(tmp_path)
    labels = [f"link/../scans//{path.relative_to(scans)},7" for path in sorted(scans.rglob("*.png"))]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *labels]))
    places = ("scans", "./scans/", "link", f"{tmp_path}/link/../scans", f"{tmp_path}//scans")
    for number, place in enumerate(places):
        found = score(place, bundle_path, tmp_path / f"nights/{number}", labels=str(tmp_path / "labels.csv"))
        assert found.labeled == 8
    for number, place in enumerate(places):
        later = score(place, bundle_path, tmp_path / f"later/{number}", since=str(tmp_path / "nights"))
        assert counts(later) == (8, 0, 0, 8, 0, 0)
    merged = compact_job.run(CompactOptions(runs=(str(tmp_path / "nights"),), output=str(tmp_path / "state")))
    assert counts(merged.manifest) == (8, 8, 0, 0, 0, 0)


def test_an_output_that_is_removed_ends_the_run_and_stays_away(
    scans: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classify = Classifier.classify

    def remove(self: Classifier, contents: object) -> object:
        scored = classify(self, contents)
        shutil.rmtree(tmp_path / "out")
        return scored

    monkeypatch.setattr(Classifier, "classify", remove)
    with pytest.raises(StoppedError, match="the output folder was removed"):
        score(scans, bundle_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
