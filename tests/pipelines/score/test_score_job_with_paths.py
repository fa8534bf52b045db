import csv
import io
import pathlib
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow.parquet as pq
import pytest

from digitmill.default_model import SHIPPED_MODEL
from digitmill.storage import open_folder
from pipelines.output.row_export import export_rows
from pipelines.output.verification import verify
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions


@pytest.fixture
def scans(tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable) -> pathlib.Path:
    folder = tmp_path / "scans"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "b c.png").write_bytes(png_of(digits[0]))
    (folder / "=1.png").write_bytes(png_of(digits[1]))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("x/y.png", png_of(digits[2]))
        archive.writestr("x/bad.png", b"")
    (folder / "forms.zip").write_bytes(data.getvalue())
    return folder


def score(output: pathlib.Path, *inputs: pathlib.Path, **more: object) -> pathlib.Path:
    flags = ("--runner=FnApiRunner",)
    run(
        ScoreOptions(
            inputs=tuple(map(str, inputs)),
            model=str(SHIPPED_MODEL),
            output=str(output),
            beam_flags=flags,
            **more,
        )
    )
    assert not verify(open_folder(str(output))).findings
    return output


def cells(output: pathlib.Path, pattern: str, column: str) -> Iterator[str]:
    for part in sorted(output.glob(pattern)):
        with part.open(newline="", encoding="utf-8") as file:
            yield from (row[column] for row in csv.DictReader(file))


def test_rows_and_failures_have_the_paths_of_their_images(
    scans: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = score(tmp_path / "out", scans, max_failure_rate=1.0, format="csv,tfrecord,parquet")
    expected = ["./=1.png", "a/b c.png", "forms.zip!x/y.png"]
    assert sorted(cells(output, "predictions/*.csv", "path")) == expected
    assert sorted(cells(output, "reports/failures.csv", "path")) == ["broken.png", "forms.zip!x/bad.png"]
    for name in ("rows.parquet", "rows.csv"):
        export_rows(str(output), str(tmp_path / name))
    assert sorted(pq.read_table(tmp_path / "rows.parquet")["path"].to_pylist()) == expected
    assert sorted(cells(tmp_path, "rows.csv", "path")) == expected


def test_a_pattern_and_a_file_name_their_images_from_their_folders(
    scans: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = score(tmp_path / "pattern", scans / "*" / "*.png")
    assert [*cells(output, "predictions/*.csv", "path")] == ["a/b c.png"]
    output = score(tmp_path / "file", scans / "a" / "b c.png")
    assert [*cells(output, "predictions/*.csv", "path")] == ["b c.png"]


def test_a_table_of_predictions_is_a_list_of_its_images_wherever_it_lies(
    scans: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "truth.csv").write_text("path,label\nscans/a/b c.png,5\n")
    output = score(tmp_path / "out", scans / "a", labels=str(tmp_path / "truth.csv"))
    export_rows(str(output), str(tmp_path / "rows.csv"))
    again = score(
        tmp_path / "again", input_list=str(tmp_path / "rows.csv"), labels=str(tmp_path / "rows.csv")
    )
    assert [*cells(again, "predictions/*.csv", "image")] == [*cells(output, "predictions/*.csv", "image")]
    assert [*cells(again, "predictions/*.csv", "label")] == ["5"]
