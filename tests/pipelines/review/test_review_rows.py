import csv
import gzip
import pathlib
import shutil
from collections.abc import Callable

import pytest

from pipelines.compact import compact_job
from pipelines.history.past_runs import PastRun, open_run
from pipelines.review.review_rows import ReviewRow, rows_to_label
from pipelines.score import score_job
from pipelines.score_options import ScoreOptions
from schemas.errors import StorageError
from schemas.layout import Compression

ALL = 10**9


@pytest.fixture(scope="module")
def inputs(digit_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("night") / "in"
    shutil.copytree(digit_folder, folder / "digits")
    (folder / "empty.png").touch()
    shutil.make_archive(str(folder / "some"), "tar", digit_folder / "3")
    return folder


@pytest.fixture(scope="module")
def score(
    inputs: pathlib.Path, bundle_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., PastRun]:
    """Score the folder, most of it below the threshold."""

    def scored(**settings: object) -> PastRun:
        output = tmp_path_factory.mktemp("scores") / "out"
        given = {"inputs": (str(inputs),), "accept_threshold": 0.99, "rows_per_part": 200} | settings
        score_job.run(ScoreOptions(model=bundle_path, output=str(output), **given))
        return found(output)

    return scored


@pytest.fixture(scope="module")
def run(score: Callable[..., PastRun]) -> PastRun:
    return score(labels="folder")


def found(output: pathlib.Path) -> PastRun:
    run = open_run(str(output))
    assert run is not None
    return run


def table(run: PastRun) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for part in sorted(pathlib.Path(run.place, "predictions").glob("*.csv*")):
        data = part.read_bytes()
        text = (gzip.decompress(data) if part.suffix == ".gz" else data).decode()
        rows += csv.DictReader(text.splitlines())
    return rows


def expected(run: PastRun) -> list[tuple[float, str]]:
    return sorted(
        (float(row["confidence"]), row["image"]) for row in table(run) if row["decision"] == "review"
    )


def keys(rows: list[ReviewRow]) -> list[tuple[float, str]]:
    return [(row.confidence, row.uri) for row in rows]


@pytest.mark.slow
def test_rows_for_review_are_sorted_by_confidence(run: PastRun) -> None:
    rows = rows_to_label(run, ALL).doubtful
    assert len(rows) == run.manifest.counts.scored - run.manifest.accepted > 100
    assert keys(rows) == expected(run)


def test_review_rows_match_the_csv(run: PastRun) -> None:
    cells_of = {cells["image"]: cells for cells in table(run)}
    for row in rows_to_label(run, ALL).doubtful:
        cells = cells_of[row.uri]
        assert (row.generation, row.digit, row.second_digit, row.second_confidence) == (
            int(cells["generation"]),
            int(cells["digit"]),
            int(cells["second_digit"]),
            float(cells["second_confidence"]),
        )
        assert row.label == int(cells["label"] or -1)


def test_each_row_has_its_file(run: PastRun) -> None:
    rows = rows_to_label(run, ALL).doubtful
    members = [row for row in rows if "!" in row.uri]
    assert members
    for row in rows:
        assert row.file.uri == row.uri.partition("!")[0]
        assert row.file.size > 0
        assert row.file.generation == row.generation


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_a_lower_limit_gives_a_prefix(run: PastRun, limit: int) -> None:
    assert rows_to_label(run, limit).doubtful == rows_to_label(run, ALL).doubtful[:limit]


@pytest.mark.parametrize("compression", [Compression.ALL, Compression.NONE])
def test_tables_may_be_compressed(
    run: PastRun, score: Callable[..., PastRun], compression: Compression
) -> None:
    assert keys(rows_to_label(score(compression=compression), ALL).doubtful) == keys(
        rows_to_label(run, ALL).doubtful
    )


def test_a_run_without_review_rows(score: Callable[..., PastRun]) -> None:
    assert rows_to_label(score(accept_threshold=0.0), ALL).doubtful == []


@pytest.mark.slow
def test_a_merged_run_and_one_that_builds_on_another(
    run: PastRun, inputs: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    nights = tmp_path / "nights"
    given = {"inputs": (str(inputs),), "model": bundle_path, "accept_threshold": 0.99, "labels": "folder"}
    score_job.run(ScoreOptions(output=str(nights / "1"), sample=200, **given))
    score_job.run(ScoreOptions(output=str(nights / "2"), since=str(nights), **given))
    state = tmp_path / "state"
    compact_job.run(compact_job.CompactOptions(runs=(str(nights),), output=str(state)))
    early, late = (rows_to_label(found(nights / name), ALL).doubtful for name in "12")
    assert early
    assert late
    whole = rows_to_label(found(state), ALL).doubtful
    assert keys(whole) == sorted(keys(early) + keys(late)) == keys(rows_to_label(run, ALL).doubtful)
    assert [row.file for row in whole] == [row.file for row in rows_to_label(run, ALL).doubtful]


@pytest.fixture
def copied(run: PastRun, tmp_path: pathlib.Path) -> pathlib.Path:
    return shutil.copytree(run.place, tmp_path / "out")


def test_a_run_with_a_changed_manifest_is_refused(copied: pathlib.Path) -> None:
    part = sorted((copied / "predictions").glob("*.tfrecord.gz"))[0]
    part.write_bytes(gzip.compress(gzip.decompress(part.read_bytes()).replace(b"review", b"accept", 1)))
    with pytest.raises(StorageError, match="has changed"):
        rows_to_label(found(copied), ALL)


@pytest.mark.parametrize("folder", ["predictions", "statistics", "listing"])
def test_a_missing_file_is_found(copied: pathlib.Path, folder: str) -> None:
    for path in (copied / folder).glob("*[!x].*"):
        path.unlink()
    with pytest.raises(StorageError, match="files of an earlier run are missing or damaged"):
        rows_to_label(found(copied), ALL)


def test_rows_have_their_reason_where_the_table_has_one(score: Callable[..., PastRun]) -> None:
    run = score(accept_threshold=1.0)
    cells_of = {cells["image"]: cells for cells in table(run)}
    for row in rows_to_label(run, ALL).doubtful:
        assert row.reason == cells_of[row.uri]["reason"]
