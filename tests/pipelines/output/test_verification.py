import csv
import gzip
import io
import json
import os
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from click.testing import CliRunner

from digitmill.records import encode_records, parse_example, read_records
from digitmill.reports.csv_table import encode_csv
from digitmill.storage.local_output import LocalFolder
from pipelines.output.verification import verify
from pipelines.score import score_job
from pipelines.score_options import ScoreOptions
from pipelines.verify import verify as command
from schemas import failure, prediction
from schemas.errors import StorageError, UserError


@pytest.fixture(scope="module")
def finished(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    output = tmp_path_factory.mktemp("finished") / "out"
    (output.parent / "in").mkdir()
    shutil.copytree(digit_folder, output.parent / "in/digits")
    (output.parent / "in/empty.png").touch()
    shutil.make_archive(str(output.parent / "in/some"), "tar", digit_folder / "3")
    inputs = (str(output.parent / "in"),)
    score_job.run(ScoreOptions(inputs=inputs, model=bundle_path, output=str(output), rows_per_part=200))
    return output


@pytest.fixture
def output(finished: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return shutil.copytree(finished, tmp_path / "out")


def findings(output: pathlib.Path) -> list[str]:
    return list(verify(LocalFolder(output)).findings)


def test_open_run(output: pathlib.Path) -> None:
    verdict = verify(LocalFolder(output))
    assert verdict.findings == ()
    assert "every listed image has one outcome" in verdict.table()
    assert verdict.files == sum(1 for path in output.rglob("*") if path.is_file())
    assert CliRunner().invoke(command, [str(output)], standalone_mode=False).return_value == 0


def parts(output: pathlib.Path) -> list[str]:
    return [part["name"] for part in json.loads((output / "manifest.json").read_text())["parts"]]


def test_a_flipped_byte_is_found_in_every_file(output: pathlib.Path) -> None:
    for name in parts(output):
        before = (output / name).read_bytes()
        data = bytearray(before)
        data[len(data) // 2] ^= 1
        (output / name).write_bytes(data)
        assert findings(output) == [f"{name}: changed (other content)"]
        (output / name).write_bytes(before)


def test_missing_shorter_and_extra_parts_are_found(output: pathlib.Path) -> None:
    missing, shorter, *_ = sorted(name for name in parts(output) if name.startswith("predictions/"))
    size = (output / shorter).stat().st_size
    (output / missing).unlink()
    (output / shorter).write_bytes((output / shorter).read_bytes()[:-1])
    (output / "predictions/part-x.csv").touch()
    (output / "notes.txt").touch()
    assert sorted(findings(output)) == sorted(
        [
            f"{missing}: missing",
            f"{shorter}: changed ({size - 1:,} bytes, {size:,} expected)",
            "predictions/part-x.csv: not named by the manifest",
        ]
    )
    result = CliRunner().invoke(command, [str(output)], standalone_mode=False)
    assert result.return_value == 4
    assert "3 findings" in result.output


def forge(output: pathlib.Path, name: str, change: Callable[[bytes], bytes], rows: int | None = None) -> None:
    """Changes a file and makes the manifest say that it was always so."""
    from schemas.manifest import Part

    data = change((output / name).read_bytes())
    (output / name).write_bytes(data)
    manifest = json.loads((output / "manifest.json").read_text())
    for part in manifest["parts"]:
        if part["name"] == name:
            forged = Part.of(name, data, rows=part["rows"] if rows is None else rows)
            part |= {"bytes": forged.bytes, "sha256": forged.sha256, "rows": forged.rows}
    (output / "manifest.json").write_text(json.dumps(manifest))


def csv_part(output: pathlib.Path, *, of: bytes = b"/digits/") -> str:
    """A file of predictions of images whose names hold this; by default, that are no archive's members."""
    named = (name for name in parts(output) if name.endswith(".csv") and "predictions" in name)
    return next(name for name in named if of in (output / name).read_bytes())


def test_rows_are_counted(output: pathlib.Path) -> None:
    name = csv_part(output)
    forge(output, name, lambda data: data[: data[:-1].rindex(b"\n") + 1])
    assert len(findings(output)) == 1
    assert findings(output)[0].startswith(f"{name}: ")
    assert findings(output)[0].endswith("expected")


def test_images_with_no_and_with_two_outcomes_are_found(output: pathlib.Path) -> None:
    def swap(data: bytes) -> bytes:
        header, _, second, *rest = data.split(b"\n")
        return b"\n".join([header, second, second, *rest])

    forge(output, csv_part(output), swap)
    differing, twice, missing = findings(output)
    assert ": 1 row unlike those of " in differing
    assert twice.endswith(": 2 outcomes")
    assert missing.endswith(": listed, but no outcome")


def test_an_outcome_of_an_unlisted_image_is_found(output: pathlib.Path) -> None:
    forge(output, csv_part(output), lambda data: data.replace(b"digits/", b"idiots/", 1))
    assert any(finding.endswith(": outcome, but not listed") for finding in findings(output))


def test_an_outcome_of_an_image_that_is_in_no_listed_archive_is_found(output: pathlib.Path) -> None:
    forge(output, csv_part(output, of=b"some.tar!"), lambda data: data.replace(b"some.tar!", b"some.tar/", 1))
    assert any(finding.endswith(": outcome, but not listed") for finding in findings(output))


def test_counts_that_do_not_add_up_are_reported(output: pathlib.Path) -> None:
    text = json.loads((output / "manifest.json").read_text())
    text["counts"] |= {"listed": text["counts"]["listed"] + 1, "skipped": 1}
    (output / "manifest.json").write_text(json.dumps(text))
    assert [finding.partition(": ")[0] for finding in findings(output)] == ["manifest.json"] * 3


def edit(output: pathlib.Path, change: Callable[[dict], object]) -> None:
    """Changes the manifest by hand."""
    text = json.loads((output / "manifest.json").read_text())
    change(text)
    (output / "manifest.json").write_text(json.dumps(text))


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda text: text.update(accepted=text["accepted"] - 1), "accepted when recounted"),
        (lambda text: text.update(labeled=1), "labeled when recounted"),
        (lambda text: text["figures"].update(accuracy=0.999), "its figures do not follow from its counts"),
        (lambda text: text.update(status="over_budget"), "a status of 'over_budget'"),
        (lambda text: text["failures"].update(EMPTY=0, CORRUPT=1), "failures of EMPTY when recounted"),
    ],
)
def test_a_changed_count_in_the_manifest_is_found(
    output: pathlib.Path, change: Callable[[dict], object], finding: str
) -> None:
    edit(output, change)
    assert any(finding in found for found in findings(output))


@pytest.mark.parametrize("folder", ["statistics", "predictions"])
def test_a_file_removed_from_the_manifest_is_found(output: pathlib.Path, folder: str) -> None:
    name = next(name for name in parts(output) if name.startswith(folder))
    (output / name).unlink()
    edit(output, lambda text: text.update(parts=[part for part in text["parts"] if part["name"] != name]))
    assert any(finding.startswith(f"{name}: ") for finding in findings(output))


def test_an_unfinished_run_is_refused(output: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (output / "manifest.json").unlink()
    for place in (output, tmp_path / "nothing"):
        with pytest.raises(UserError, match=r"not a finished run, manifest\.json is missing"):
            verify(LocalFolder(place))


def test_gzipped_tables_are_read_too(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    options = {"inputs": (str(digit_folder),), "model": bundle_path, "output": str(tmp_path / "out")}
    from schemas.layout import Compression

    score_job.run(ScoreOptions(**options, compression=Compression.ALL))
    assert findings(tmp_path / "out") == []
    (table,) = (tmp_path / "out/predictions").glob("*.csv.gz")
    name = str(table.relative_to(tmp_path / "out"))

    def swap(data: bytes) -> bytes:
        return gzip.compress(gzip.decompress(data).replace(b"digits", b"idiots", 1))

    forge(tmp_path / "out", name, swap)
    assert any(finding.endswith("outcome, but not listed") for finding in findings(tmp_path / "out"))


def change_row(output: pathlib.Path, column: str, value: str) -> str:
    """Changes a cell in row 7 of a CSV and seals it anew; returns the file's name."""
    name = csv_part(output)

    def change(data: bytes) -> bytes:
        rows = list(csv.reader(io.StringIO(data.decode())))
        assert rows[7][rows[0].index(column)] != value
        rows[7][rows[0].index(column)] = value
        return encode_csv(rows)

    forge(output, name, change)
    return name


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("digit", "x"),
        ("generation", "1"),
        ("confidence", "0.123456"),
        ("second_digit", ""),
        ("second_confidence", "2"),
        ("decision", "reject"),
        ("label", "5"),
        ("challenger_digit", "5"),
        ("challenger_confidence", "0.5"),
        ("reason", "NOT_A_DIGIT"),
    ],
)
def test_a_cell_that_the_tfrecord_has_not_is_found(output: pathlib.Path, column: str, value: str) -> None:
    name = change_row(output, column, value)
    (finding,) = findings(output)
    assert finding.startswith(
        f"{name}: 1 row unlike those of {name.removesuffix('.csv')}.tfrecord.gz, first row 7: "
    )
    assert f"{column} is {value!r}, in the TFRecord '" in finding


def test_a_difference_behind_many_equal_rows_is_found_by_its_number(
    output: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.output.row_comparison.SLICE_ROWS", 2)
    assert findings(output) == []
    name = change_row(output, "digit", "x")
    (finding,) = findings(output)
    assert finding.startswith(f"{name}: 1 row unlike those")
    assert "first row 7: digit is 'x'" in finding


def test_rows_are_compared_in_both_formats_and_with_the_record(output: pathlib.Path) -> None:
    table = csv_part(output)
    records = table.replace(".csv", ".tfrecord.gz")
    payloads = [parse_example(row) for row in read_records((output / records).read_bytes())]
    wrong = [(row["digit"] + 1) % 10 for row in payloads]

    def in_table(data: bytes) -> bytes:
        header, *rows = csv.reader(io.StringIO(data.decode()))
        return encode_csv(
            [header, *([*row[:3], digit, *row[4:]] for row, digit in zip(rows, wrong, strict=True))]
        )

    def in_records(data: bytes) -> bytes:
        columns = {
            column.name: [row.get(column.name, -1) for row in payloads] for column in prediction.COLUMNS
        }
        columns |= {"digit": wrong, "image": [row["image"].decode() for row in payloads]}
        columns |= {"path": [row["path"].decode() for row in payloads]}
        columns |= {"decision": [row["decision"].decode() for row in payloads]}
        columns |= {"challenger_confidence": [float("nan")] * len(payloads)}
        columns |= {"reason": [row["reason"].decode() if "reason" in row else None for row in payloads]}
        numbers = {
            name: np.array(values) if isinstance(values[0], int | float) else values
            for name, values in columns.items()
        }
        return encode_records(prediction.COLUMNS, numbers)

    forge(output, records, lambda data: gzip.compress(in_records(data)))
    (finding,) = findings(output)[:1]
    assert f"{len(wrong):,} rows unlike" in finding
    forge(output, table, in_table)
    (finding,) = findings(output)
    assert "other digits in its rows than in its tallies" in finding


def test_other_columns_are_found(output: pathlib.Path) -> None:
    name = csv_part(output)
    forge(output, name, lambda data: data.replace(b"digit,confidence", b"confidence,digit", 1))
    assert findings(output) == [f"{name}: not the columns of predictions"]


def test_failures_in_several_files_are_compared_as_one(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failure, "ROWS_OF_A_FILE", 2)
    shutil.copytree(digit_folder / "3", tmp_path / "in")
    for name in "abcde":
        (tmp_path / f"in/{name}.png").touch()
    output = tmp_path / "out"
    score_job.run(ScoreOptions(inputs=(str(tmp_path / "in"),), model=bundle_path, output=str(output)))
    assert findings(output) == []
    assert [part for part in parts(output) if "failures" in part] == [
        "reports/failures-00001.csv",
        "reports/failures-00002.csv",
        "reports/failures.csv",
    ]
    forge(output, "reports/failures-00001.csv", lambda data: data.replace(b"EMPTY", b"BLANK", 1))
    assert findings(output) == [
        "reports/failures.csv: its rows are not the failures in the statistics records"
    ]
    forge(output, "reports/failures-00002.csv", lambda data: data.replace(b"code", b"kode", 1))
    assert findings(output) == ["reports/failures-00002.csv: cannot be read: not the columns of failures"]


def test_a_changed_failure_is_found(output: pathlib.Path) -> None:
    forge(output, "reports/failures.csv", lambda data: data.replace(b"EMPTY", b"BLANK", 1))
    assert findings(output) == [
        "reports/failures.csv: its rows are not the failures in the statistics records"
    ]


@pytest.mark.parametrize("folder", ["statistics", "listing", "predictions"])
@pytest.mark.parametrize(
    "content",
    [b"", b"[" * 100_000, gzip.compress(b"[" * 100_000), gzip.compress(b"[1]"), b"{}", b"\xff"],
    # gzip writes the time, and workers must collect tests of the same names.
    ids=["empty", "deep", "deep and gzipped", "gzipped", "object", "not text"],
)
def test_a_file_that_is_damaged_under_its_digest_is_named(
    output: pathlib.Path, folder: str, content: bytes
) -> None:
    for name in parts(output):
        if name.startswith(folder) and "index" not in name:
            forge(output, name, lambda _: content)
            break
    found = findings(output)
    assert found
    assert any("cannot be read" in finding or "expected" in finding for finding in found)


@pytest.mark.parametrize("name", ["../../etc/hostname", "/etc/hostname", "predictions/../../x", "a\0b"])
def test_a_manifest_that_names_a_file_elsewhere_is_refused(output: pathlib.Path, name: str) -> None:
    edit(output, lambda text: text["parts"][0].update(name=name))
    with pytest.raises(UserError, match="a file outside the output"):
        verify(LocalFolder(output))


def test_a_pipe_is_not_waited_for(output: pathlib.Path) -> None:
    name = csv_part(output)
    (output / name).unlink()
    os.mkfifo(output / name)
    with pytest.raises(StorageError, match="not a regular file"):
        verify(LocalFolder(output))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": 2, "options": ' + "[" * 500 + "]" * 500 + "}"])
def test_a_deeply_nested_manifest_is_refused(output: pathlib.Path, text: str) -> None:
    (output / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="nested too deeply"):
        verify(LocalFolder(output))


def test_a_table_of_an_earlier_version_lacks_the_reason(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    def older(data: bytes) -> bytes:
        return encode_csv(row[:-1] for row in csv.reader(io.StringIO(data.decode())))

    output = tmp_path / "out"
    given = {"inputs": (str(digit_folder / "3"),), "model": bundle_path, "accept_threshold": 0.0}
    score_job.run(ScoreOptions(output=str(output), **given))
    assert findings(output) == []

    for part in sorted((output / "predictions").glob("*.csv")):
        forge(output, f"predictions/{part.name}", older)
    assert findings(output) == []
