import hashlib
import json
import pathlib
import re
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from click.testing import CliRunner

from digitmill.storage.local_output import LocalFolder
from pipelines.output.verification import verify
from pipelines.review import review_command
from pipelines.review.review_job import ReviewOptions, ReviewSummary, run
from pipelines.score import score_job
from pipelines.score_options import ScoreOptions
from schemas.errors import StorageError, UserError
from tests.gcs_emulator import Bucket

FLAGS = ("--runner=FnApiRunner",)


def rows_of(page: str) -> list[dict]:
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    return json.loads(data)["rows"]


def options(place: object, bundle_path: pathlib.Path, output: object, **more: object) -> ScoreOptions:
    given = {"accept_threshold": 0.999} | more
    return ScoreOptions((str(place),), bundle_path, str(output), beam_flags=FLAGS, **given)


@pytest.fixture
def scored(mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """60 digits among bad files, most of them below the threshold."""
    score_job.run(options(mixed_folder, bundle_path, tmp_path / "out", max_failure_rate=1.0))
    return tmp_path / "out"


def made(output: pathlib.Path, **more: object) -> tuple[ReviewSummary, list[dict]]:
    summary = run(ReviewOptions(str(output), **more))
    return summary, rows_of(pathlib.Path(summary.page).read_text())


def test_the_page_shows_rows_below_the_threshold(scored: pathlib.Path) -> None:
    summary, rows = made(scored)
    assert summary.page == str(scored / "review.html")
    assert summary.shown == summary.doubtful == len(rows) > 20
    for row in rows:
        path = pathlib.Path(row["name"])
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row["generation"] == str(path.stat().st_mtime_ns)


def test_an_output_with_a_review_page_verifies(scored: pathlib.Path) -> None:
    before = verify(LocalFolder(scored))
    made(scored)
    after = verify(LocalFolder(scored))
    assert before.findings == after.findings == ()


def test_a_second_page_replaces_the_first(scored: pathlib.Path) -> None:
    assert len(made(scored, limit=5)[1]) == 5
    summary, rows = made(scored, limit=7)
    assert len(rows) == summary.shown == 7
    assert "7, the least sure ones" in summary.table()


@pytest.mark.slow
def test_a_page_can_go_to_another_place(
    scored: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary, _ = made(scored, page=str(tmp_path / "new" / "tonight.html"))
    assert summary.page == str(tmp_path / "new" / "tonight.html")
    assert not (scored / "review.html").exists()
    monkeypatch.chdir(tmp_path)
    assert made(scored, page="here.html")[0].page == str(tmp_path / "here.html")


@pytest.mark.slow
def test_missing_and_changed_images_are_reported(scored: pathlib.Path) -> None:
    _, rows = made(scored)
    first, second, *_ = [pathlib.Path(row["name"]) for row in rows]
    first.unlink()
    second.write_bytes(second.read_bytes() + b"x")
    summary, left = made(scored)
    assert [row["place"] for row in left] == [row["place"] for row in rows[2:]]
    assert summary.missing == {"MISSING": 1, "CHANGED": 1}
    assert "2 (CHANGED 1, MISSING 1), named on the page" in summary.table()
    page = pathlib.Path(summary.page).read_text()
    assert f"{first}</td>" in page
    assert f"{second}</td>" in page


@pytest.mark.slow
def test_no_page_is_written_if_the_images_are_out_of_reach(
    scored: pathlib.Path, mixed_folder: pathlib.Path
) -> None:
    mixed_folder.rename(mixed_folder.parent / "elsewhere")
    with pytest.raises(StorageError, match="cannot reach a"):
        made(scored)
    assert not (scored / "review.html").exists()


@pytest.mark.parametrize("place", ["none", "out/predictions", "."])
def test_an_unfinished_run_is_refused(
    scored: pathlib.Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(scored.parent)
    with pytest.raises(UserError, match=r"not a finished run.*merge several by `digitmill compact`"):
        made(pathlib.Path(place))


@pytest.mark.parametrize("page", ["", "folder/", "gs://bucket"])
def test_a_page_that_is_not_a_file_is_refused(scored: pathlib.Path, page: str) -> None:
    with pytest.raises(UserError, match="--page does not name a file"):
        made(scored, page=page)


@pytest.mark.slow
def test_without_rows_for_review(
    scored: pathlib.Path, mixed_folder: pathlib.Path, bundle_path: pathlib.Path
) -> None:
    output = scored.parent / "sure"
    given = {"accept_threshold": 0.0, "max_failure_rate": 1.0}
    score_job.run(options(mixed_folder, bundle_path, output, **given))
    summary, rows = made(output)
    assert (summary.doubtful, summary.shown, rows) == (0, 0, [])
    assert "digitmill train" not in summary.table()


def test_the_command(scored: pathlib.Path) -> None:
    result = CliRunner().invoke(review_command.review, [str(scored), "--limit", "3"], standalone_mode=False)
    assert result.return_value == 0
    assert "shown       3" in result.output
    assert f"page        {scored}/review.html" in result.output
    assert "labels:labels.csv" in result.output


def test_review_reads_the_scored_version_from_a_bucket_and_writes_there(
    bucket: Bucket, bundle_path: pathlib.Path, digits: np.ndarray, png_of: Callable, tmp_path: pathlib.Path
) -> None:
    for number in range(40):
        bucket.put(f"in/{number}.png", png_of(digits[number]))
    shutil.make_archive(str(tmp_path / "some"), "zip", _folder(tmp_path, digits[40:60], png_of))
    bucket.put("in/some.zip", (tmp_path / "some.zip").read_bytes())
    score_job.run(options(f"{bucket.uri}/in", bundle_path, f"{bucket.uri}/out", accept_threshold=1.0))
    summary = run(ReviewOptions(f"{bucket.uri}/out"))
    assert summary.page == f"{bucket.uri}/out/review.html"
    before = rows_of(bucket.read("out/review.html").decode())
    assert len(before) == summary.shown > 40
    members = [row for row in before if "!" in row["path"]]
    assert members
    for row in before:
        assert bool(row["pixels"]) == (row in members)
    changed, gone = [row["path"].removeprefix(f"{bucket.uri}/") for row in before if row not in members][:2]
    bucket.put(changed, b"another")
    bucket.delete(gone)
    summary = run(ReviewOptions(f"{bucket.uri}/out", page=str(tmp_path / "page.html")))
    # An emulator that keeps no old versions says of both that they are gone.
    assert sum(summary.missing.values()) == 2
    after = rows_of((tmp_path / "page.html").read_text())
    assert [row["path"] for row in after] == [
        row["path"] for row in before if not row["path"].endswith((f"/{changed}", f"/{gone}"))
    ]


def _folder(tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable) -> pathlib.Path:
    folder = tmp_path / "members"
    folder.mkdir()
    for number, digit in enumerate(digits):
        (folder / f"{number}.png").write_bytes(png_of(digit))
    return folder
