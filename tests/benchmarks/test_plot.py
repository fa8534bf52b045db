import pathlib

import cv2
import pytest

from benchmarks import plot
from benchmarks.results import Results
from tests.benchmarks.runs import every_run


@pytest.mark.slow
@pytest.mark.parametrize("models", [1, 2])
def test_a_picture_has_a_row_for_each_model(tmp_path: pathlib.Path, models: int) -> None:
    runs = every_run()
    chosen = Results(one for one in runs if one.model in runs.distinct("model")[:models])
    plot.draw(chosen, tmp_path / plot.NAME)
    height, width, _ = cv2.imread(str(tmp_path / plot.NAME)).shape
    assert (height, width) == (models * 405, 1500)


def test_one_run_is_enough_for_a_picture(tmp_path: pathlib.Path) -> None:
    plot.draw(Results(every_run()[:1]), tmp_path / plot.NAME)
    assert cv2.imread(str(tmp_path / plot.NAME)) is not None


@pytest.mark.slow
def test_the_same_runs_give_the_same_picture(tmp_path: pathlib.Path) -> None:
    for name in ("a.png", "b.png"):
        plot.draw(every_run(), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
