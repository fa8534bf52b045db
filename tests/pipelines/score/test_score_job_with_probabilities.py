import csv
import math
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

import digitmill
from digitmill.default_model import SHIPPED_MODEL
from digitmill.storage import open_folder
from pipelines.compact.compact_job import run as compact
from pipelines.compact.compact_options import CompactOptions
from pipelines.output.row_export import export_rows
from pipelines.output.verification import verify
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from schemas.errors import UserError
from schemas.prediction import PROBABILITY_COLUMNS

FLAGS = ("--runner=FnApiRunner",)
NAMES = [column.name for column in PROBABILITY_COLUMNS]


@pytest.fixture
def scans(tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable) -> pathlib.Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.png").write_bytes(png_of(digits[number]))
    return folder


@pytest.fixture
def options(scans: pathlib.Path, tmp_path: pathlib.Path) -> Callable:
    def of(output: str, **more: object) -> ScoreOptions:
        flags: dict = {"inputs": (str(scans),), "probabilities": True, **more}
        place = str(tmp_path / output)
        return ScoreOptions(model=str(SHIPPED_MODEL), output=place, beam_flags=FLAGS, **flags)

    return of


def rows_of(place: pathlib.Path) -> list[dict[str, str]]:
    with place.open(newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: row["image"])


def exported(output: pathlib.Path) -> list[dict[str, str]]:
    assert not verify(open_folder(str(output))).findings
    export_rows(str(output), str(output.parent / "rows.csv"), overwrite=True)
    return rows_of(output.parent / "rows.csv")


def test_the_greatest_two_probabilities_are_those_of_the_row(
    options: Callable, tmp_path: pathlib.Path
) -> None:
    run(options("out", format="csv,tfrecord,parquet"))
    rows = exported(tmp_path / "out")
    assert list(rows[0])[-10:] == NAMES
    for row in rows:
        found = [float(row[name]) for name in NAMES]
        assert sum(found) == pytest.approx(1, abs=1e-5)
        assert row[f"probability_{row['digit']}"] == row["confidence"]
        assert row[f"probability_{row['second_digit']}"] == row["second_confidence"]
        assert sorted(found)[-2:] == [float(row["second_confidence"]), float(row["confidence"])]


def test_other_columns_are_those_of_a_run_without(options: Callable, tmp_path: pathlib.Path) -> None:
    run(options("out"))
    run(options("plain", probabilities=False))
    plain = exported(tmp_path / "plain")
    assert not {*NAMES} & {*plain[0]}
    assert [{name: row[name] for name in plain[0]} for row in exported(tmp_path / "out")] == plain


def test_a_run_is_resumed_with_the_same_setting(options: Callable) -> None:
    run(options("out"))
    run(options("out", resume=True))
    with pytest.raises(UserError, match="probabilities was True"):
        run(options("out", resume=True, probabilities=False))
    run(options("plain", probabilities=False))
    run(options("plain", resume=True, probabilities=False))
    with pytest.raises(UserError, match="is now True"):
        run(options("plain", resume=True))


def test_rows_are_read_with_their_types(options: Callable, tmp_path: pathlib.Path) -> None:
    for format_ in ("csv", "tfrecord", "parquet"):
        run(options(format_, format=format_))
        done = digitmill.read(tmp_path / format_)
        assert {str(done.to_arrow().schema.field(name).type) for name in NAMES} == {"double"}
        assert done.predictions()[NAMES].to_numpy().sum(axis=1) == pytest.approx(np.ones(5), abs=1e-5)


@pytest.mark.parametrize("first", [True, False])
def test_runs_with_and_without_are_merged(options: Callable, tmp_path: pathlib.Path, first: bool) -> None:
    run(options("nights/1", probabilities=first))
    picture = (tmp_path / "scans" / "3.png").read_bytes()
    (tmp_path / "scans" / "new.png").write_bytes(picture)
    run(options("nights/2", probabilities=not first, since=str(tmp_path / "nights")))
    compact(
        CompactOptions(runs=(str(tmp_path / "nights"),), output=str(tmp_path / "state"), beam_flags=FLAGS)
    )
    rows = exported(tmp_path / "state")
    assert [row["probability_3"] != "" for row in rows] == [first] * 5 + [not first]
    one = exported(tmp_path / "nights" / ("1" if first else "2"))
    known = [row for row in rows if row["probability_3"]]
    assert [row[name] for row in known for name in NAMES] == [row[name] for row in one for name in NAMES]
    values = digitmill.read(tmp_path / "state").to_arrow()["probability_3"].to_pylist()
    assert sum(value is None or math.isnan(value) for value in values) == len(rows) - len(known)


def test_a_list_cannot_carry_a_column_of_their_names(options: Callable, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="already have a column of this name"):
        options("out", inputs=(), input_list=str(tmp_path / "list"), carry="Probability_3")
