import pathlib

import pytest

from benchmarks import predictions
from benchmarks.predictions import PredictionsError


def write(path: pathlib.Path, *rows: str, header: str = "image,digit,confidence") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")


def test_right_ones_are_those_that_their_folder_names(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "a.csv", "/x/7/1.png,7,0.9", "/x/7/2.png,1,0.9", "gs://b/0/3.png,0,0.5")
    assert predictions.check(tmp_path, 3) == 2


def test_parts_count_together_and_reports_do_not(tmp_path: pathlib.Path) -> None:
    write(
        tmp_path / "predictions" / "a.csv", "/x/1/1.png,g,1,0.9", header="image,generation,digit,confidence"
    )
    write(
        tmp_path / "predictions" / "b.csv", "/x/2/1.png,g,2,0.9", header="image,generation,digit,confidence"
    )
    write(tmp_path / "reports" / "summary.csv", "all,2", header="scope,scored")
    assert predictions.check(tmp_path, 2) == 2


@pytest.mark.parametrize(
    "rows",
    [
        [],
        ["/x/1/1.png,1,1"],
        ["/x/1/1.png,1,1", "/x/1/1.png,1,1"],
        ["/x/1/1.png,1,1", "/x/1/2.png,1,1", "/x/1/3.png,1,1"],
    ],
    ids=["none", "one missing", "one twice", "one too many"],
)
def test_each_image_has_one_answer(tmp_path: pathlib.Path, rows: list[str]) -> None:
    write(tmp_path / "a.csv", *rows)
    with pytest.raises(PredictionsError, match="of 2"):
        predictions.check(tmp_path, 2)
