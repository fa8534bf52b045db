import collections
import csv
import json
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.default_model import SHIPPED_MODEL
from pipelines.review import review_job
from pipelines.review.review_options import ReviewOptions
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from schemas.errors import StorageError


@pytest.fixture
def output(tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable) -> pathlib.Path:
    """A run of ten readings of three digits, most of them unsure, and of an image that is in no field."""
    for number in range(30):
        place = tmp_path / "in" / f"meter{number // 3}" / f"{number % 3}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png_of(digits[number]))
    (tmp_path / "in" / "alone.png").write_bytes(png_of(digits[40]))
    return tmp_path / "out"


def score(output: pathlib.Path, **more: object) -> pathlib.Path:
    flags: dict = {"field": r"(?P<field>.+)/(?P<position>\d)\.png", "accept_threshold": 0.9995, **more}
    run(
        ScoreOptions(
            inputs=(str(output.parent / "in"),),
            model=str(SHIPPED_MODEL),
            output=str(output),
            beam_flags=("--runner=FnApiRunner",),
            **flags,
        )
    )
    return output


def data_of(output: pathlib.Path) -> dict:
    page = (output / "review.html").read_text()
    return json.loads(
        page.partition('<script id="data" type="application/json">')[2].partition("</script>")[0]
    )


def fields_of(output: pathlib.Path) -> dict[str, dict[str, str]]:
    with (output / "reports" / "fields.csv").open(newline="") as file:
        return {row["field"]: row for row in csv.DictReader(file)}


def test_the_digits_of_a_field_are_shown_together_accepted_ones_too(output: pathlib.Path) -> None:
    score(output)
    summary = review_job.run(ReviewOptions(output=str(output)))
    data = data_of(output)
    expected = {name: row for name, row in fields_of(output).items() if row["decision"] == "review"}
    assert {field["name"] for field in data["fields"]} == expected.keys()
    assert summary.fields == len(expected) >= 2
    shown: dict[int, list[str]] = {}
    for row in data["rows"]:
        shown.setdefault(row["field"], []).append(row["path"])
    for number, field in enumerate(data["fields"]):
        assert shown[number] == json.loads(expected[field["name"]]["images"])
    order = [row["field"] for row in data["rows"] if row["field"] >= 0]
    assert all(first == second for first, second in zip(order[::3], order[2::3], strict=True))
    in_fields = sum(len(paths) for number, paths in shown.items() if number >= 0)
    assert 0 < summary.members < in_fields
    assert f"{summary.members} of them other digits of fields" in summary.table()


def test_places_stay_what_they_are_with_another_limit(output: pathlib.Path) -> None:
    score(output, accept_threshold=0.9999999)
    assert review_job.run(ReviewOptions(output=str(output), limit=2)).doubtful > 2
    data = data_of(output)
    few = {row["path"]: row["place"] for row in data["rows"]}
    # Digits that are beyond the limit are shown with the others of their field.
    inside = collections.Counter(row["field"] for row in data["rows"] if row["field"] >= 0)
    assert inside == dict.fromkeys(range(len(data["fields"])), 3) != {}
    review_job.run(ReviewOptions(output=str(output)))
    many = {row["path"]: row["place"] for row in data_of(output)["rows"]}
    assert few.items() <= many.items()
    assert len(set(many.values())) == len(many)


def test_a_field_with_an_impossible_value_is_shown_though_every_digit_is_sure(output: pathlib.Path) -> None:
    score(output, accept_threshold=0.0, field_check="regex:7.*")
    summary = review_job.run(ReviewOptions(output=str(output)))
    assert summary.doubtful == 0
    assert summary.fields == sum(row["reason"] == "INVALID" for row in fields_of(output).values()) > 0
    assert summary.shown == 3 * summary.fields
    assert {field["why"] for field in data_of(output)["fields"]} == {"the value fails the check"}


def test_beside_audited_images_fields_would_tell_which_are_accepted(output: pathlib.Path) -> None:
    score(output, audit=3)
    summary = review_job.run(ReviewOptions(output=str(output)))
    assert (summary.fields, summary.members, data_of(output)["fields"]) == (0, 0, [])


def test_a_damaged_table_is_named(output: pathlib.Path) -> None:
    score(output)
    (output / "reports" / "fields.csv").write_text("field\nmeter1\n")
    with pytest.raises(StorageError, match="table of fields is missing or damaged"):
        review_job.run(ReviewOptions(output=str(output)))
