import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from digitmill.default_model import SHIPPED_MODEL
from digitmill.records import parse_example, read_records
from pipelines.compact.compact_job import run as compact
from pipelines.compact.compact_options import CompactOptions
from pipelines.output.row_export import export_rows
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from schemas import prediction
from schemas.errors import StorageError, UserError

DIRECT = ("--runner=FnApiRunner",)


@pytest.fixture(scope="module")
def scored(digits: np.ndarray, png_of: Callable, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run over seven images and, between these by name, an archive of three, in parts of two rows."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "in").mkdir()
    (folder / "more").mkdir()
    for number in range(7):
        (folder / f"in/{number}.png").write_bytes(png_of(digits[number]))
    for number in range(3):
        (folder / f"more/{number}.png").write_bytes(png_of(digits[number]))
    shutil.make_archive(str(folder / "in/3 more"), "tar", folder / "more")
    run(
        ScoreOptions(
            inputs=(str(folder / "in"),),
            model=str(SHIPPED_MODEL),
            output=str(folder / "out"),
            rows_per_part=2,
            beam_flags=DIRECT,
        )
    )
    return folder / "out"


NAMES = ["0.png", "1.png", "2.png", "0.png", "1.png", "2.png", "3.png", "4.png", "5.png", "6.png"]


def names(images: list[str]) -> list[str]:
    return [image.removesuffix("/").rpartition("/")[2].rpartition("!")[2] for image in images]


def test_rows_of_all_parts_by_name_are_in_the_order_of_the_listing(scored: pathlib.Path) -> None:
    parts = sorted((scored / "predictions").glob("*.csv"))
    images = pd.concat(map(pd.read_csv, parts)).image.tolist()
    assert names(images) == NAMES
    assert [part.name.rpartition("-")[0] for part in parts[:4]] == [
        "part-00000",
        "part-00001",
        "part-00001_00001",
        "part-00001_00001_00001",
    ]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tfrecord", "tfrecord.gz", "parquet"])
def test_one_file_has_all_rows_in_the_order_of_the_listing(
    ending: str, scored: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    place = tmp_path / "new" / f"rows.{ending}"
    assert export_rows(str(scored), str(place)).rows == 10
    data = place.read_bytes()
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    if "tfrecord" in ending:
        images = [parse_example(record)["image"].decode() for record in read_records(data)]
    elif ending == "parquet":
        images = pd.read_parquet(place).image.tolist()
    else:
        images = pd.read_csv(place).image.tolist()
    assert names(images) == NAMES
    export_rows(str(scored), str(tmp_path / f"again.{ending}"))
    assert (tmp_path / f"again.{ending}").read_bytes() == data


def test_a_csv_is_the_parts_one_after_the_other(scored: pathlib.Path, tmp_path: pathlib.Path) -> None:
    export_rows(str(scored), str(tmp_path / "rows.csv"))
    parts = [part.read_bytes() for part in sorted((scored / "predictions").glob("*.csv"))]
    header = parts[0].partition(b"\n")[0] + b"\n"
    assert (tmp_path / "rows.csv").read_bytes() == header + b"".join(
        part.removeprefix(header) for part in parts
    )


def test_merged_and_incremental_runs_are_sorted_by_image(
    scored: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    compact(
        CompactOptions(
            runs=(str(scored),), output=str(tmp_path / "state"), rows_per_part=2, beam_flags=DIRECT
        )
    )
    export_rows(str(tmp_path / "state"), str(tmp_path / "state.parquet"))
    export_rows(str(scored), str(tmp_path / "scored.parquet"))
    state, rows = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("state", "scored"))
    assert state.image.tolist() == sorted(state.image)
    pd.testing.assert_frame_equal(state, rows.sort_values("image", ignore_index=True))


def test_a_file_is_replaced_only_on_request(scored: pathlib.Path, tmp_path: pathlib.Path) -> None:
    place = tmp_path / "rows.csv"
    place.write_text("mine")
    with pytest.raises(UserError, match=r"the file already exists.*--overwrite"):
        export_rows(str(scored), str(place))
    assert place.read_text() == "mine"
    export_rows(str(scored), str(place), overwrite=True)
    assert len(pd.read_csv(place)) == 10


@pytest.mark.parametrize("name", ["rows.txt", "rows", "rows.parquet.gz"])
def test_a_name_without_a_format_is_refused(name: str, scored: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"End it in \.csv"):
        export_rows(str(scored), str(tmp_path / name))


@pytest.mark.parametrize("name", ["reports/failures.csv", "predictions/new.parquet"])
def test_files_of_the_run_are_not_replaced(name: str, scored: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy = shutil.copytree(scored, tmp_path / "copy")
    before = {path.name: path.read_bytes() for path in (copy / name).parent.iterdir()}
    with pytest.raises(UserError, match="the run's own files"):
        export_rows(str(copy), str(copy / name), overwrite=True)
    assert {path.name: path.read_bytes() for path in (copy / name).parent.iterdir()} == before
    export_rows(str(copy), str(copy / "all.csv"))


def test_a_damaged_run_leaves_no_file(scored: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy = shutil.copytree(scored, tmp_path / "copy")
    sorted((copy / "predictions").glob("*.tfrecord.gz"))[-1].write_bytes(b"")
    with pytest.raises(StorageError, match="missing or damaged"):
        export_rows(str(copy), str(tmp_path / "rows.csv"))
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@pytest.mark.parametrize("ending", ["csv", "tfrecord", "parquet"])
def test_a_run_without_rows_gives_a_file_without_rows(ending: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/none.png").touch()
    run(
        ScoreOptions(
            inputs=(str(tmp_path / "in"),),
            model=str(SHIPPED_MODEL),
            output=str(tmp_path / "out"),
            max_failure_rate=1,
            beam_flags=DIRECT,
        )
    )
    place = tmp_path / f"rows.{ending}"
    assert export_rows(str(tmp_path / "out"), str(place)).rows == 0
    if ending == "tfrecord":
        assert place.read_bytes() == b""
        return
    rows = pd.read_csv(place) if ending == "csv" else pd.read_parquet(place)
    assert (len(rows), list(rows)) == (0, [column.name for column in prediction.COLUMNS])
