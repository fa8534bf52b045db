import csv
import dataclasses
import io
import pathlib
import sys
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from digitmill.imaging.guard import GUARD
from digitmill.storage import ImageReader, open_folder
from pipelines.compact import compact_job
from pipelines.compact.compact_options import CompactOptions
from pipelines.history.past_runs import open_run
from pipelines.output.verification import verify
from pipelines.review.review_images import Picture, read_pictures
from pipelines.review.review_rows import rows_to_label
from pipelines.score.preview import preview
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from schemas.errors import StoppedError
from schemas.prediction import Pages

FLAGS = ("--runner=FnApiRunner",)


def scan_of(pages: list[np.ndarray]) -> bytes:
    file = io.BytesIO()
    first, *others = map(Image.fromarray, pages)
    first.save(file, "TIFF", save_all=True, append_images=others)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable) -> pathlib.Path:
    """Hold 4 files and 10 images: one scan has 4 pages, one of them blank, and one in an archive has 3."""
    place = tmp_path / "in"
    place.mkdir()
    blank = np.zeros((28, 28), np.uint8)
    (place / "scan.tif").write_bytes(scan_of([digits[0], digits[100], blank, digits[300]]))
    (place / "one.tif").write_bytes(scan_of([digits[50]]))
    (place / "plain.png").write_bytes(png_of(digits[150]))
    with zipfile.ZipFile(place / "a.zip", "w") as archive:
        archive.writestr("7/scan.tif", scan_of([digits[350], digits[351], digits[352]]))
        archive.writestr("x.png", png_of(digits[200]))
    return place


def score(folder: pathlib.Path, bundle_path: pathlib.Path, output: pathlib.Path, **more: object) -> object:
    return run(ScoreOptions((str(folder),), bundle_path, str(output), beam_flags=FLAGS, **more)).manifest


def rows_of(output: pathlib.Path, pattern: str = "predictions/*.csv") -> dict[str, dict]:
    texts = [path.read_text() for path in output.glob(pattern)]
    rows = [row for text in texts for row in csv.DictReader(io.StringIO(text, newline=""))]
    found = {row["image"].rpartition("/in/")[2]: row for row in rows}
    assert len(found) == len(rows)
    return found


PAGES = {"scan.tif!1", "scan.tif!2", "scan.tif!4", "one.tif", "plain.png", "a.zip!x.png"}
IN_ARCHIVE = {f"a.zip!7/scan.tif!{page}" for page in (1, 2, 3)}


@pytest.mark.parametrize("rows_per_part", [65_536, 2])
def test_every_page_has_one_row(
    folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path, rows_per_part: int
) -> None:
    output = tmp_path / "out"
    manifest = score(folder, bundle_path, output, rows_per_part=rows_per_part, labels="folder")
    assert dataclasses.astuple(manifest.counts) == (10, 9, 1, 0)
    rows = rows_of(output)
    assert rows.keys() == PAGES | IN_ARCHIVE
    assert {rows[name]["label"] for name in IN_ARCHIVE} == {"7"}
    assert {name: row["code"] for name, row in rows_of(output, "reports/failures.csv").items()} == {
        "scan.tif!3": "BLANK"
    }
    assert max(part.rows for part in manifest.parts if "predictions/" in part.name) <= rows_per_part
    assert verify(open_folder(str(output))).findings == ()


def test_the_first_page_alone_goes_by_the_name_of_the_file(
    folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    manifest = score(folder, bundle_path, tmp_path / "out", pages=Pages.FIRST)
    assert dataclasses.astuple(manifest.counts) == (5, 5, 0, 0)
    assert rows_of(tmp_path / "out").keys() == {
        "scan.tif",
        "one.tif",
        "plain.png",
        "a.zip!x.png",
        "a.zip!7/scan.tif",
    }


@pytest.mark.slow
def test_labels_name_pages(folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (folder / "a.zip").unlink()
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\nin/scan.tif!1,0\nin/scan.tif!2,5\nin/one.tif,1\nin/plain.png!1,3\n")
    score(folder, bundle_path, tmp_path / "out", labels=str(labels))
    found = {name: row["label"] for name, row in rows_of(tmp_path / "out").items()}
    assert found == {"scan.tif!1": "0", "scan.tif!2": "5", "scan.tif!4": "", "one.tif": "1", "plain.png": "3"}


@pytest.mark.slow
def test_a_later_run_takes_a_file_up_with_all_its_pages(
    folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    runs = tmp_path / "runs"
    score(folder, bundle_path, runs / "first")
    again = score(folder, bundle_path, runs / "again", since=str(runs), retry_failures=True)
    assert (again.counts.scored, again.counts.failed) == (3, 1)
    assert rows_of(runs / "again").keys() == {"scan.tif!1", "scan.tif!2", "scan.tif!4"}
    merged = compact_job.run(
        CompactOptions((str(runs / "first"), str(runs / "again")), str(tmp_path / "all"))
    )
    assert dataclasses.astuple(merged.manifest.counts) == (10, 9, 1, 0)
    assert rows_of(tmp_path / "all").keys() == PAGES | IN_ARCHIVE
    assert verify(open_folder(str(tmp_path / "all"))).findings == ()
    assert score(folder, bundle_path, tmp_path / "later", since=str(tmp_path / "all")).counts.scored == 0


@pytest.mark.slow
def test_a_run_that_scored_first_pages_does_not_cover_the_others(
    folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    runs = tmp_path / "runs"
    score(folder, bundle_path, runs / "first", pages=Pages.FIRST)
    assert score(folder, bundle_path, runs / "all", since=str(runs)).counts.listed == 10


@pytest.mark.slow
def test_reviewers_see_the_page_that_was_scored(
    folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path, digits: np.ndarray
) -> None:
    score(folder, bundle_path, tmp_path / "out", accept_threshold=1.0)
    past = open_run(str(tmp_path / "out"))
    assert past is not None
    rows = rows_to_label(past, 100).doubtful
    with ImageReader() as reader:
        found = {rows[place].uri.rpartition("/in/")[2]: seen for place, seen in read_pictures(rows, reader)}
    for name, number in {"scan.tif!4": 300, "a.zip!7/scan.tif!2": 351, "one.tif": 50}.items():
        if name in found:  # a confidence of 1 is accepted
            assert isinstance(found[name], Picture)
            np.testing.assert_array_equal(found[name].digit, digits[number])
    assert len(found) > 3


def test_a_dry_run_scores_pages(
    folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    figures = preview(ScoreOptions((str(folder),), bundle_path, str(tmp_path / "out"), beam_flags=FLAGS))
    assert (figures.listed, figures.sampled, figures.failed) == (4, 3, 1)


@pytest.mark.slow
def test_a_decoder_that_cannot_start_stops_the_run_and_fails_no_image(
    folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    GUARD.close()
    with monkeypatch.context() as broken:
        broken.setattr(GUARD, "_command", [sys.executable, "-c", "raise SystemExit(3)"])
        with pytest.raises(StoppedError, match=r"cannot start the decoder process, on file://.*To resume: "):
            score(folder, bundle_path, tmp_path / "out")
    manifest = score(folder, bundle_path, tmp_path / "out", resume=True)
    assert dataclasses.astuple(manifest.counts) == (10, 9, 1, 0)
