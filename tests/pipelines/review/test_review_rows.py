import csv
import gzip
import pathlib
import shutil
from collections.abc import Callable

import pytest

from pipelines.compact import compact_job
from pipelines.history.past_runs import PastRun, open_run
from pipelines.review.review_rows import Doubt, least_sure
from pipelines.score import score_job
from pipelines.score_options import ScoreOptions
from pipelines.scoring.rows import Compression
from schemas.errors import StorageError

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
    """Scores the folder, most of it below the threshold."""

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


def keys(doubts: list[Doubt]) -> list[tuple[float, str]]:
    return [(doubt.confidence, doubt.uri) for doubt in doubts]


@pytest.mark.slow
def test_all_that_is_to_be_reviewed_comes_least_sure_first(run: PastRun) -> None:
    doubts = least_sure(run, ALL)
    assert len(doubts) == run.manifest.counts.scored - run.manifest.accepted > 100
    assert keys(doubts) == expected(run)


def test_a_row_is_what_the_table_says(run: PastRun) -> None:
    rows = {row["image"]: row for row in table(run)}
    for doubt in least_sure(run, ALL):
        row = rows[doubt.uri]
        said = (doubt.generation, doubt.digit, doubt.second_digit, doubt.second_confidence)
        assert said == (
            int(row["generation"]),
            int(row["digit"]),
            int(row["second_digit"]),
            float(row["second_confidence"]),
        )
        assert doubt.label == int(row["label"] or -1)


def test_each_row_knows_the_file_that_it_is_from(run: PastRun) -> None:
    doubts = least_sure(run, ALL)
    members = [doubt for doubt in doubts if "!" in doubt.uri]
    assert members
    for doubt in doubts:
        assert doubt.file.uri == doubt.uri.partition("!")[0]
        assert doubt.file.size > 0
        assert doubt.file.generation == doubt.generation


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_a_lower_limit_gives_the_first_ones(run: PastRun, limit: int) -> None:
    assert least_sure(run, limit) == least_sure(run, ALL)[:limit]


@pytest.mark.parametrize("compression", [Compression.ALL, Compression.NONE])
def test_tables_may_be_compressed(
    run: PastRun, score: Callable[..., PastRun], compression: Compression
) -> None:
    assert keys(least_sure(score(compression=compression), ALL)) == keys(least_sure(run, ALL))


def test_where_all_is_accepted_there_is_nothing(score: Callable[..., PastRun]) -> None:
    assert least_sure(score(accept_threshold=0.0), ALL) == []


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
    early, late = (least_sure(found(nights / name), ALL) for name in "12")
    assert early
    assert late
    whole = least_sure(found(state), ALL)
    assert keys(whole) == sorted(keys(early) + keys(late)) == keys(least_sure(run, ALL))
    assert [doubt.file for doubt in whole] == [doubt.file for doubt in least_sure(run, ALL)]


@pytest.fixture
def copied(run: PastRun, tmp_path: pathlib.Path) -> pathlib.Path:
    return shutil.copytree(run.place, tmp_path / "out")


def test_a_file_that_was_changed_is_no_run(copied: pathlib.Path) -> None:
    part = sorted((copied / "predictions").glob("*.csv"))[0]
    part.write_bytes(part.read_bytes().replace(b"review", b"accept", 1))
    with pytest.raises(StorageError, match="is not the file that was written"):
        least_sure(found(copied), ALL)


@pytest.mark.parametrize("folder", ["predictions", "statistics", "listing"])
def test_a_file_that_is_gone_is_named(copied: pathlib.Path, folder: str) -> None:
    for path in (copied / folder).glob("*[!x].*"):
        path.unlink()
    with pytest.raises(StorageError, match="keeps the files that its manifest names"):
        least_sure(found(copied), ALL)
