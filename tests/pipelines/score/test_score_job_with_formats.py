import csv
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest

import digitmill
from digitmill.default_model import SHIPPED_MODEL
from digitmill.storage import open_folder
from pipelines.compact.compact_job import run as compact
from pipelines.compact.compact_options import CompactOptions
from pipelines.history.past_runs import open_finished_run
from pipelines.output.verification import verify
from pipelines.report.rebuilding import rebuild_report
from pipelines.review.review_rows import rows_to_label
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from schemas.errors import UserError
from schemas.layout import Format, format_of
from schemas.manifest import Part

PATTERN = r"(?P<field>\d)/(?P<position>\d+)\.png"


@pytest.fixture(scope="module")
def forms(digits: np.ndarray, png_of: Callable, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Readings of three digits, one of which is no image, and an archive of two images."""
    folder = tmp_path_factory.mktemp("formats") / "forms"
    for number in range(9):
        path = folder / f"{number // 3}" / f"{number % 3}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_of(digits[number]))
    (folder / "1/1.png").write_bytes(b"")
    shutil.make_archive(str(folder / "more"), "zip", folder / "2")
    return folder


@pytest.fixture(scope="module")
def score(forms: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    def scored(formats: str | None, **more: object) -> pathlib.Path:
        output = tmp_path_factory.mktemp("run") / "out"
        flags: dict = {"format": formats, "field": PATTERN, "accept_threshold": 0.9999, **more}
        run(
            ScoreOptions(
                inputs=(str(forms),),
                model=str(SHIPPED_MODEL),
                output=str(output),
                beam_flags=("--runner=FnApiRunner",),
                **flags,
            )
        )
        return output

    return scored


@pytest.fixture(scope="module")
def usual(score: Callable) -> pathlib.Path:
    """A run in the default formats."""
    return score(None)


def endings(output: pathlib.Path) -> set[Format | None]:
    return {format_of(path.name) for path in (output / "predictions").iterdir()}


def rows_of(output: pathlib.Path) -> list[dict]:
    rows = digitmill.read(output).predictions()
    return rows.sort_values("image").round(6).astype(object).where(rows.notna(), None).to_dict("records")


def fields_of(output: pathlib.Path) -> dict[tuple[str, str, str], float]:
    """The joint confidence of each field; a CSV has six decimals of what it is made of."""
    with (output / "reports/fields.csv").open(newline="") as file:
        return {
            (row["field"], row["value"], row["decision"]): float(row["confidence"] or 0)
            for row in csv.DictReader(file)
        }


@pytest.mark.parametrize("formats", ["csv", "tfrecord", "parquet", "csv,parquet", "csv,tfrecord,parquet"])
def test_a_run_in_any_formats_is_read_everywhere(
    formats: str, score: Callable, usual: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = score(formats)
    assert endings(output) == {Format(name) for name in formats.split(",")}
    assert verify(open_folder(str(output))).findings == ()
    assert rows_of(output) == rows_of(usual)
    assert fields_of(output) == pytest.approx(fields_of(usual), abs=2e-6)
    places = [open_finished_run(str(each), hint="") for each in (output, usual)]
    mine, others = (rows_to_label(place, 10).doubtful for place in places)
    assert mine == others
    assert len(mine) > 0
    rebuild_report(str(output))

    merged = tmp_path / "merged"
    compact(
        CompactOptions(
            runs=(str(output),), output=str(merged), format=formats, beam_flags=("--runner=FnApiRunner",)
        )
    )
    assert endings(merged) == endings(output)
    assert verify(open_folder(str(merged))).findings == ()
    assert rows_of(merged) == rows_of(usual)


def test_an_incremental_run_may_have_other_formats(score: Callable, usual: pathlib.Path) -> None:
    output = score("parquet", since=str(usual), retry_failures=True)
    found = digitmill.read(output)
    assert (found.counts.skipped, found.counts.failed) == (11, 1)
    assert verify(open_folder(str(output))).findings == ()


def test_the_formats_are_a_setting_of_the_run(score: Callable, forms: pathlib.Path) -> None:
    output = score("csv")
    (output / "manifest.json").unlink()
    with pytest.raises(UserError, match="format was 'csv' and is now 'parquet'"):
        run(
            ScoreOptions(
                inputs=(str(forms),),
                model=str(SHIPPED_MODEL),
                output=str(output),
                format="parquet",
                resume=True,
                field=PATTERN,
                accept_threshold=0.9999,
            )
        )


@pytest.mark.parametrize("given", ["xml", "csv,xml", ","])
def test_other_formats_are_refused(given: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="invalid --format"):
        ScoreOptions(inputs=(), model=str(SHIPPED_MODEL), output=str(tmp_path), format=given)


def forge(output: pathlib.Path, name: str, data: bytes) -> None:
    """Change a file of a run, and everything that states its digest."""
    import json

    (output / name).write_bytes(data)

    def changed(text: str) -> str:
        content = json.loads(text)
        for part in content["parts"]:
            if part["name"] == name:
                found = Part.of(name, data, rows=part["rows"])
                part |= {"bytes": found.bytes, "sha256": found.sha256}
        return json.dumps(content)

    records = {
        str(path.relative_to(output)): changed(path.read_text()) for path in output.glob("statistics/*")
    }
    for record, text in records.items():
        (output / record).write_text(text)
    manifest = json.loads(changed((output / "manifest.json").read_text()))
    for part in manifest["parts"]:
        if part["name"] in records:
            found = Part.of(part["name"], records[part["name"]].encode(), rows=part["rows"])
            part |= {"bytes": found.bytes, "sha256": found.sha256}
    (output / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("formats", ["csv,parquet", "tfrecord,parquet", "csv,tfrecord,parquet"])
def test_a_row_that_differs_in_parquet_is_found(formats: str, score: Callable) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    output = score(formats)
    path = sorted((output / "predictions").glob("*.parquet"))[0]
    table = pq.read_table(path)
    digit = pa.array([(table["digit"][0].as_py() + 1) % 10, *table["digit"].to_pylist()[1:]])
    pq.write_table(
        table.set_column(table.schema.get_field_index("digit"), table.schema.field("digit"), digit), path
    )
    forge(output, f"predictions/{path.name}", path.read_bytes())
    findings = verify(open_folder(str(output))).findings
    assert any("differ from" in finding for finding in findings), findings


def test_a_damaged_file_of_a_single_format_is_found(score: Callable) -> None:
    output = score("csv")
    path = sorted((output / "predictions").glob("*.csv"))[0]
    header, *rows = csv.reader(path.read_text().splitlines())
    rows[0][header.index("digit")] = "seven"
    forge(
        output, f"predictions/{path.name}", "".join(",".join(row) + "\n" for row in [header, *rows]).encode()
    )
    assert any("cannot be read" in finding for finding in verify(open_folder(str(output))).findings)
