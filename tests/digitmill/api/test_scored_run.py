import csv
import pathlib
import shutil
import sys
import types
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import digitmill
from digitmill import extras
from digitmill.default_model import SHIPPED_MODEL
from pipelines.score.score_start import run_score
from pipelines.score_options import ScoreOptions
from schemas.prediction import COLUMNS
from tests.digit_folders import write_digits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, digits: np.ndarray, labels: np.ndarray) -> pathlib.Path:
    """25 digits by their labels, and two files that are no images."""
    import cv2

    place = tmp_path_factory.mktemp("api") / "scans"
    write_digits(place, digits[:25], labels[:25], lambda digit: cv2.imencode(".png", digit)[1].tobytes())
    (place / "3").mkdir(exist_ok=True)
    (place / "3" / "odd, näme.png").write_bytes(b"no image")
    (place / "3" / "empty.png").write_bytes(b"")
    return place


@pytest.fixture(scope="module")
def run(folder: pathlib.Path) -> digitmill.Run:
    return digitmill.score(folder, output=folder.parent / "scores", labels="folder", rows_per_part=10)


def test_a_run_has_the_figures_of_its_manifest(run: digitmill.Run, folder: pathlib.Path) -> None:
    assert (run.counts.listed, run.counts.scored, run.counts.failed) == (27, 25, 2)
    assert run.accuracy is not None
    assert run.accuracy.images == 25
    assert run.accuracy.value > 0.8
    assert run.accepted == run.manifest.accepted
    assert run.exit_code == digitmill.ExitCode.OVER_BUDGET  # two of 27 are more than 5 %
    assert repr(run) == (
        f"<digitmill.Run {str(folder.parent / 'scores')!r}: 27 listed = 25 scored + 2 failed + 0 skipped>"
    )


def test_a_notebook_scores_without_beam_s_interactive_runner(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = types.SimpleNamespace(config={}, execution_count=1)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert digitmill.score(folder, output=tmp_path / "scores").counts.scored == 25
    assert "apache_beam.runners.interactive.interactive_environment" not in sys.modules


def test_it_is_the_run_that_the_command_makes(run: digitmill.Run, folder: pathlib.Path) -> None:
    options = ScoreOptions(
        inputs=(str(folder),),
        model=str(SHIPPED_MODEL),
        output=str(folder.parent / "command"),
        labels="folder",
        rows_per_part=10,
    )
    commanded = run_score(options, one_command=False).manifest
    assert [part for part in commanded.parts if "predictions/" in part.name] == [
        part for part in run.manifest.parts if "predictions/" in part.name
    ]
    assert str(run) == digitmill.read(folder.parent / "scores").__str__()
    assert commanded.options == run.manifest.options


def test_predictions_are_the_rows_with_types(run: digitmill.Run) -> None:
    rows = run.predictions()
    assert list(rows.columns) == [column.name for column in COLUMNS]
    assert len(rows) == 25
    assert rows.image.is_unique
    assert (rows.digit == rows.label).sum() == run.manifest.right
    assert (rows.decision == "accept").sum() == run.accepted
    assert str(rows.generation.dtype) == "int64"
    assert str(rows.challenger_digit.dtype) == "Int64"
    assert rows.challenger_digit.isna().all()
    written = []
    for part in pathlib.Path(run.place, "predictions").glob("*.csv"):
        written += list(csv.DictReader(part.open(encoding="utf-8")))
    assert sorted(rows.image) == sorted(row["image"] for row in written)
    assert sorted(rows.generation) == sorted(int(row["generation"]) for row in written)


def test_batches_are_the_same_rows_piece_by_piece(run: digitmill.Run) -> None:
    batches = list(run.batches())
    assert [len(batch) for batch in batches] != [25]
    assert max(map(len, batches)) <= 10
    pd.testing.assert_frame_equal(pd.concat(batches, ignore_index=True), run.predictions())


def test_arrow_and_polars_have_the_same_rows_with_types(run: digitmill.Run) -> None:
    table, frame, rows = run.to_arrow(), run.to_polars(), run.predictions()
    assert table.column_names == frame.columns == list(rows.columns)
    assert [
        str(table.schema.field(name).type) for name in ("generation", "confidence", "image", "label")
    ] == [
        "int64",
        "double",
        "string",
        "int64",
    ]
    assert table["image"].to_pylist() == frame["image"].to_list() == rows.image.tolist()
    assert table["confidence"].to_pylist() == rows.confidence.tolist()
    assert table["challenger_digit"].null_count == frame["challenger_digit"].null_count() == 25
    batches = list(run.arrow_batches())
    assert max(batch.num_rows for batch in batches) <= 10
    assert {batch.schema for batch in batches} == {table.schema}
    assert [name for batch in batches for name in batch["image"].to_pylist()] == rows.image.tolist()


def test_batches_read_a_file_only_when_it_is_due(run: digitmill.Run, tmp_path: pathlib.Path) -> None:
    shutil.copytree(run.place, tmp_path / "copy")
    copied = digitmill.read(tmp_path / "copy")
    names = [part.name for part in copied.manifest.parts]
    *_, last = (name for name in names if name.startswith("predictions/") and name.endswith(".csv"))
    (tmp_path / "copy" / last).unlink()
    for batches in (copied.batches(), copied.arrow_batches()):
        assert len(next(batches))
        with pytest.raises(digitmill.StorageError, match="missing or changed"):
            list(batches)


def test_failures_have_their_reasons(run: digitmill.Run) -> None:
    failures = run.failures
    assert sorted(failures.code) == ["EMPTY", "UNSUPPORTED"]
    assert failures.detail.notna().all()


def test_a_run_shows_itself_with_everything_escaped(folder: pathlib.Path, run: digitmill.Run) -> None:
    shown = digitmill.Run("<scores & more>", run.manifest)._repr_html_()
    assert "&lt;scores &amp; more&gt;" in shown
    assert "<scores" not in shown
    assert "25 (" in shown
    assert "accuracy" in shown


def test_a_run_without_rows_has_the_same_columns(tmp_path: pathlib.Path, run: digitmill.Run) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "empty.png").write_bytes(b"")
    nothing = digitmill.score(tmp_path / "scans", output=tmp_path / "scores", compression="all")
    assert nothing.accuracy is None
    assert nothing.predictions().empty
    assert nothing.predictions().dtypes.to_dict() == run.predictions().dtypes.to_dict()
    assert nothing.to_arrow().schema == run.to_arrow().schema
    assert nothing.to_polars().schema == run.to_polars().schema
    assert len(nothing.failures) == 1


def test_carried_columns_and_compressed_files_are_read_as_they_are(
    tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png_of(digits[number]))
    lines = ["path,customer", "0.png,007", "1.png,NA", "2.png,"]
    (tmp_path / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    run = digitmill.score(
        input_list=tmp_path / "list.csv", output=tmp_path / "out", carry="customer", compression="all"
    )
    rows = run.predictions().sort_values("image")
    assert rows.customer.tolist()[:2] == ["007", "NA"]
    assert rows.customer.isna().tolist() == [False, False, True]
    assert run.to_arrow().sort_by("image")["customer"].to_pylist() == ["007", "NA", None]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "nothing to score"),
        ({"inputs_": "x"}, "score has no such option: 'inputs_'. Did you mean inputs?"),
        ({"lables": "folder"}, "Did you mean labels"),
        ({"resume": "yes"}, "invalid --resume: 'yes'. Give True or False."),
        ({"pages": "some"}, "invalid --pages: 'some'"),
        ({"limit": 0}, "invalid --limit: 0"),
    ],
)
def test_mistakes_are_user_errors(tmp_path: pathlib.Path, options: dict, words: str) -> None:
    with pytest.raises(digitmill.UserError) as caught:
        digitmill.score(output=tmp_path / "out", **options)
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_input_is_refused_before_anything_is_written(tmp_path: pathlib.Path) -> None:
    with pytest.raises(digitmill.UserError, match="input not found"):
        digitmill.score(tmp_path / "nowhere", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_finished_run_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(digitmill.UserError, match="not a finished run"):
        digitmill.read(tmp_path)


def test_a_changed_file_is_not_read(tmp_path: pathlib.Path, run: digitmill.Run) -> None:
    shutil.copytree(run.place, tmp_path / "copy")
    copied = digitmill.read(tmp_path / "copy")
    part = next((tmp_path / "copy" / "predictions").glob("*.csv"))
    part.write_bytes(part.read_bytes() + b"\n")
    with pytest.raises(digitmill.StorageError, match="missing or changed"):
        copied.predictions()
    part.unlink()
    with pytest.raises(digitmill.StorageError, match="missing or changed"):
        list(copied.batches())


def test_without_pandas_and_polars_the_errors_say_how_to_install_them(
    run: digitmill.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "is_installed", lambda module: False)
    remedy = r"pandas is not installed.*pip install 'digitmill\[notebook\]'"
    for read in (run.predictions, run.batches, lambda: run.failures):
        with pytest.raises(digitmill.UserError, match=remedy):
            read()
    with pytest.raises(digitmill.UserError, match=r"Polars is not .*pip install polars, or take"):
        run.to_polars()
    assert run.counts.scored == 25
    assert run.to_arrow().num_rows == sum(batch.num_rows for batch in run.arrow_batches()) == 25
