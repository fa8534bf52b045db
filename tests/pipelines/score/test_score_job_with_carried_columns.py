import csv
import dataclasses
import os
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.default_model import SHIPPED_MODEL
from digitmill.records import parse_example, read_records
from digitmill.storage import open_folder
from pipelines.compact.compact_job import run as compact
from pipelines.compact.compact_options import CompactOptions
from pipelines.output.verification import verify
from pipelines.report.rebuilding import rebuild_report
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from schemas.errors import UserError
from schemas.layout import Compression

HEADER = "path,Customer,batch,field,position"


@pytest.fixture
def listed(tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable) -> pathlib.Path:
    """An input list of two readings of three digits, and of one image that is in no field."""
    lines = [HEADER]
    for number in range(7):
        (tmp_path / f"{number}.png").write_bytes(png_of(digits[number]))
        field = f"meter {number // 3},{number % 3}" if number < 6 else ","
        lines.append(f'{number}.png,"Möller, {number}",{number % 2 or ""},{field}')
    place = tmp_path / "list.csv"
    place.write_text("\n".join(lines), encoding="utf-8")
    return place


@pytest.fixture
def options(listed: pathlib.Path, tmp_path: pathlib.Path) -> Callable:
    def of(output: str = "out", **more: object) -> ScoreOptions:
        flags: dict = {"input_list": str(listed), "carry": "Customer, batch", **more}
        return ScoreOptions(
            inputs=(),
            model=str(SHIPPED_MODEL),
            output=str(tmp_path / output),
            compression=Compression.NONE,
            beam_flags=("--runner=FnApiRunner",),
            **flags,
        )

    return of


def rows_of(output: pathlib.Path) -> list[dict[str, str]]:
    rows = []
    for part in sorted((output / "predictions").glob("*.csv")):
        with part.open(newline="", encoding="utf-8") as file:
            rows += csv.DictReader(file)
    return sorted(rows, key=lambda row: row["image"])


def fields_of(output: pathlib.Path) -> dict[str, dict[str, str]]:
    with (output / "reports" / "fields.csv").open(newline="") as file:
        return {row["field"]: row for row in csv.DictReader(file)}


def test_columns_of_the_list_are_in_the_rows_of_both_formats(
    options: Callable, tmp_path: pathlib.Path
) -> None:
    run(options())
    rows = rows_of(tmp_path / "out")
    assert list(rows[0])[-2:] == ["Customer", "batch"]
    assert [row["Customer"] for row in rows] == [f"Möller, {number}" for number in range(7)]
    assert [row["batch"] for row in rows] == ["", "1", "", "1", "", "1", ""]
    (part,) = (tmp_path / "out" / "predictions").glob("*.tfrecord")
    records = list(map(parse_example, read_records(part.read_bytes())))
    assert [record["Customer"].decode() for record in records] == [row["Customer"] for row in rows]
    assert [record.get("batch", b"").decode() for record in records] == [row["batch"] for row in rows]
    assert not verify(open_folder(str(tmp_path / "out"))).findings


def test_other_columns_of_a_row_stay_the_same(options: Callable, tmp_path: pathlib.Path) -> None:
    run(options())
    run(options("plain", carry=None))
    plain = rows_of(tmp_path / "plain")
    assert "Customer" not in plain[0]
    carried = [{name: row[name] for name in plain[0]} for row in rows_of(tmp_path / "out")]
    assert carried == plain


def test_verification_finds_a_changed_carried_value(options: Callable, tmp_path: pathlib.Path) -> None:
    from pipelines.output.row_comparison import ItemRows
    from pipelines.statistics.item_statistics import read_record

    run(options())
    output = open_folder(str(tmp_path / "out"))
    (name,) = output.names("statistics")
    record = read_record(output.read(f"statistics/{name}"), output)
    rows = ItemRows(record, ("Customer", "batch"))
    changed = {
        part.name: output.read(part.name).replace("Möller, 3".encode(), "Müller, 3".encode())
        if part.name.endswith(".csv")
        else output.read(part.name)
        for part in record.parts
    }
    assert len(list(rows.images(changed.__getitem__))) == 7
    (finding,) = rows.findings
    assert "Customer is 'Müller, 3', in the TFRecord 'Möller, 3'" in finding


def test_a_merged_state_has_the_columns_too(options: Callable, tmp_path: pathlib.Path) -> None:
    run(options("nights/1"))
    compact(CompactOptions(runs=(str(tmp_path / "nights"),), output=str(tmp_path / "state")))
    assert rows_of(tmp_path / "state") == rows_of(tmp_path / "nights/1")
    assert not verify(open_folder(str(tmp_path / "state"))).findings


def test_a_merged_state_keeps_the_columns_of_the_last_run_that_had_them(
    options: Callable, listed: pathlib.Path, tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable
) -> None:
    nights, state = str(tmp_path / "nights"), tmp_path / "state"
    run(options("nights/1"))
    listed.write_text(listed.read_text(encoding="utf-8").replace("Möller, 4", ""), encoding="utf-8")
    run(options("nights/2", carry="Customer", since=nights))
    (tmp_path / "1.png").write_bytes(png_of(digits[100]))
    os.utime(tmp_path / "1.png", (1, 1))
    run(options("nights/3", carry=None, since=nights))
    compact(CompactOptions(runs=(nights,), output=str(state)))
    rows = rows_of(state)
    assert [row["Customer"] for row in rows] == [f"Möller, {n}" if n != 4 else "" for n in range(7)]
    assert [row["batch"] for row in rows] == ["", "1", "", "1", "", "1", ""]
    assert list(fields_of(state)) == ["meter 0", "meter 1"]
    run(options("whole"))
    assert fields_of(state) == fields_of(tmp_path / "whole")
    # And so does the state of a state and a later night.
    compact(CompactOptions(runs=(str(state), f"{nights}/3"), output=str(tmp_path / "states/2")))
    assert rows_of(tmp_path / "states/2") == rows


def test_an_image_may_move_to_another_field_since_it_was_scored(
    options: Callable, listed: pathlib.Path, tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable
) -> None:
    run(options("nights/1", carry=None))
    text = listed.read_text(encoding="utf-8")
    for before, after in (("meter 0,2", "meter 0,3"), ("meter 1,0", "meter 0,2"), ("meter 1,1", "meter 1,0")):
        text = text.replace(before, after)
    listed.write_text(text.replace("meter 1,2", "meter 1,1"), encoding="utf-8")
    (tmp_path / "0.png").write_bytes(png_of(digits[100]))
    os.utime(tmp_path / "0.png", (1, 1))
    run(options("nights/2", carry=None, since=str(tmp_path / "nights")))
    run(options("whole", carry=None))
    fields, whole = fields_of(tmp_path / "nights/2"), fields_of(tmp_path / "whole")
    assert list(fields) == ["meter 0"]
    assert fields["meter 0"] == whole["meter 0"]
    assert not fields["meter 0"]["reason"]


@pytest.mark.parametrize("flag", ["input_list", "labels"])
def test_a_pipe_of_the_shell_is_read_once(
    options: Callable,
    listed: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    flag: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text("path,label\n0.png,7\n1.png,3\n")
    given = {"labels": "labels.csv", "input_list": str(listed)}
    plain = run(options("plain", **given)).manifest
    reading, writing = os.pipe()
    os.write(writing, pathlib.Path(given[flag]).read_bytes())
    os.close(writing)
    try:
        piped = run(options("piped", **{**given, flag: f"/dev/fd/{reading}"})).manifest
    finally:
        os.close(reading)
    assert rows_of(tmp_path / "piped") == rows_of(tmp_path / "plain")
    assert (piped.fields, piped.labeled) == (plain.fields, 2)


def test_the_list_can_say_what_makes_a_field(options: Callable, tmp_path: pathlib.Path) -> None:
    manifest = run(options(carry=None)).manifest
    fields, rows = fields_of(tmp_path / "out"), rows_of(tmp_path / "out")
    assert list(fields) == ["meter 0", "meter 1"]
    assert [row["value"] for row in fields.values()] == [
        "".join(row["digit"] for row in rows[start : start + 3]) for start in (0, 3)
    ]
    assert manifest.fields is not None
    assert manifest.fields.fields == 2
    written = (tmp_path / "out" / "reports" / "fields.csv").read_bytes()
    (tmp_path / "list.csv").unlink()
    (tmp_path / "out" / "reports" / "fields.csv").unlink()
    rebuild_report(str(tmp_path / "out"))
    assert (tmp_path / "out" / "reports" / "fields.csv").read_bytes() == written


def test_a_list_without_both_columns_makes_no_fields(
    options: Callable, listed: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    listed.write_text(listed.read_text(encoding="utf-8").replace("position", "place"), encoding="utf-8")
    assert run(options()).manifest.fields is None
    assert not (tmp_path / "out" / "reports" / "fields.csv").exists()


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        ({"carry": "digit"}, "already have a column"),
        ({"carry": "Label"}, "already have a column"),
        ({"carry": "batch,batch"}, "already have a column"),
        ({"carry": "batch", "input_list": None}, "--carry needs --input-list"),
        ({"carry": "batch,color"}, "lacks columns"),
    ],
)
def test_columns_that_cannot_be_carried_are_refused(
    options: Callable, tmp_path: pathlib.Path, flags: dict, match: str
) -> None:
    with pytest.raises(UserError, match=match):
        run(options(**flags))
    assert not (tmp_path / "out" / "run.json").exists()


def test_an_image_with_two_customers_is_refused(options: Callable, listed: pathlib.Path) -> None:
    listed.write_text(f"{HEADER}\n0.png,a,1,,\n0.png,b,1,,\n", encoding="utf-8")
    with pytest.raises(UserError, match="twice, with different columns"):
        run(options())


def test_paths_of_a_list_count_from_its_folder_also_in_a_merged_state(
    options: Callable, listed: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run(options(carry=None))
    assert [row["path"] for row in rows_of(tmp_path / "out")] == [f"{number}.png" for number in range(7)]
    inputs = dataclasses.replace(
        options("other", carry=None, input_list=None), inputs=(str(tmp_path / "6.png"),)
    )
    run(inputs)
    runs = (str(tmp_path / "out"), str(tmp_path / "other"))
    compact(CompactOptions(runs=runs, output=str(tmp_path / "state"), beam_flags=("--runner=FnApiRunner",)))
    assert [row["path"] for row in rows_of(tmp_path / "state")] == [f"{number}.png" for number in range(7)]
    assert not verify(open_folder(str(tmp_path / "state"))).findings
