import json
import pathlib

import cv2
import matplotlib
import numpy as np
import pytest

from benchmarks import robustness, robustness_page
from benchmarks.form_pictures import cell, meter_window
from digitmill.default_model import SHIPPED_MODEL
from digitmill.engines.bundle_loader import open_bundle
from digitmill.imaging.batch import DigitBatch, canonical_batch
from schemas.digit import NOT_A_DIGIT
from schemas.failure import FailureCode, ImageError
from trainer.data.sources import embedded_sample


@pytest.fixture(scope="module")
def font() -> str:
    folder = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf")
    return str(folder / "DejaVuSans.ttf")


def test_an_image_without_a_digit_is_not_right() -> None:
    test = embedded_sample.digits().test
    errors = [None] * 9 + [ImageError(FailureCode.BLANK, "nothing there")]
    batch = DigitBatch(test.images[:10], errors)
    row = robustness.measure(open_bundle(SHIPPED_MODEL).load(), "ten", batch, test.labels[:10], threshold=0.9)
    assert (row.images, row.right, row.failed) == (10, 9, 1)
    assert row.accepted_right <= row.accepted <= 9


def test_of_pictures_that_are_no_digit_those_accepted_count() -> None:
    test = embedded_sample.digits().test
    labels = np.full(10, NOT_A_DIGIT, np.uint8)
    batch = DigitBatch(test.images[:10], [None] * 10)
    row = robustness.measure(open_bundle(SHIPPED_MODEL).load(), "none", batch, labels, threshold=0.9)
    # They are digits, and clear ones: a model that sees them accepts most.
    assert row.images == 10
    assert row.accepted > 5


def test_what_is_unreadable_in_a_folder_is_a_set_of_its_own(tmp_path: pathlib.Path) -> None:
    test = embedded_sample.digits().test
    for label in ("3", "unreadable"):
        path = tmp_path / "forms" / "validation" / label / "a.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), test.images[0])
    found = [(name, labels.tolist()) for name, _, labels in robustness.folder_sets(tmp_path, "validation")]
    assert found == [("forms", [3]), ("forms, unreadable", [NOT_A_DIGIT])]
    assert not list(robustness.folder_sets(tmp_path, "test"))


@pytest.mark.parametrize("draw", [cell, meter_window])
def test_pictures_of_forms_are_the_same_for_the_same_seed(draw: object, font: str) -> None:
    first, again, other = (draw(font, 5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.shape != other.shape or (first != other).any()


def test_a_meter_s_digit_is_light_on_a_dark_drum(font: str) -> None:
    pictures = [meter_window(font, 8, np.random.default_rng(seed)) for seed in range(20)]
    middles = [picture[picture.shape[0] // 4 : -picture.shape[0] // 4] for picture in pictures]
    assert np.mean([np.median(middle) for middle in middles]) < 128
    assert all(middle.max() > np.median(middle) + 60 for middle in middles)


def test_most_digits_in_cells_are_found(font: str) -> None:
    pictures = [cell(font, digit, np.random.default_rng(digit)) for digit in range(10)]
    assert sum(error is None for error in canonical_batch(pictures).errors) >= 8


def test_the_page_has_a_table_of_digits_and_one_of_what_is_none(tmp_path: pathlib.Path) -> None:
    rows = [
        {"name": "forms", "images": 100, "right": 90, "failed": 2, "accepted": 50, "accepted_right": 49},
        {"name": "letters", "images": 200, "failed": 10, "accepted": 4},
        {"name": "halves", "images": 200, "failed": 0, "accepted": 8},
        {"name": "letters like digits", "images": 200, "failed": 0, "accepted": 180},
    ]
    found = {"part": "validation", "threshold": 0.98, "rows": rows}
    path = tmp_path / "robustness.json"
    path.write_text(json.dumps({"validation": found}))
    page = robustness_page.blocks(path)["robustness-validation"]
    assert "| forms | 100 | 90.00 % (82.56 to 94.48) | 2 | 50.00 % | 98.00 % |" in page
    assert "| letters | 200 | 10 | 2.00 % (0.78 to 5.03) |" in page
    # Letters that read as digits are apart.
    assert "| all | 400 | 10 | 3.00 % (1.72 to 5.17) |" in page
    assert "| letters like digits | 200 | 0 | 90.00 %" in page


def test_nothing_measured_leaves_the_page_as_it_is(tmp_path: pathlib.Path) -> None:
    assert robustness_page.blocks(tmp_path / "robustness.json") == {}


@pytest.mark.slow
def test_every_drawn_set_has_digits_or_what_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness, "_DRAWN", 20)
    sets = {name: labels for name, _, labels in robustness.drawn_sets("validation")}
    assert {name for name, labels in sets.items() if (labels < NOT_A_DIGIT).all()} == {
        "plain fonts",
        "fonts",
        "printed in cells",
        "windows of meters",
    }
    assert "letters like digits" in sets
