import dataclasses

import pytest

from digitmill.reports.card_text import format_card, table
from schemas.model.model_card import ModelCard
from tests.schemas.model.test_model_card import CARD, FULL


def sections(card: ModelCard) -> dict[str, list[str]]:
    parts = format_card(card).split("\n\n")
    return {title: lines for title, *lines in (part.splitlines() for part in parts)}


def test_every_measure_has_its_section() -> None:
    found = sections(FULL)
    assert list(found) == [
        "Model",
        "Accuracy",
        "Calibration",
        "Accepted at the threshold",
        "Accepted at other thresholds, validation images",
        "Wrongly accepted at the threshold, images labeled unreadable",
        "At the threshold by source, test images",
        "Wrongly accepted at the threshold",
        "Formats",
        "Data",
        "Made",
    ]
    assert found["Accepted at the threshold"][1].split() == ["validation", "90.00", "%", "98.89", "%", "1"]
    assert found["Wrongly accepted at the threshold"][1].split() == ["letters", "500", "0", "12", "2.40", "%"]
    rejected = found["Wrongly accepted at the threshold, images labeled unreadable"]
    assert rejected[1].split() == ["test", "20", "3", "15.00", "%"]
    _, meters, letters = found["At the threshold by source, test images"]
    assert meters.replace(" %", "%").split() == [
        "folder:meters",
        "40",
        "95.00%",
        "50.00%",
        "100.00%",
        "0",
        "–",
    ]
    assert letters.replace(" %", "%").split() == ["folder:letters", "0", "–", "–", "–", "20", "15.00%"]
    assert found["Formats"][1].split() == ["model.keras", "10", "90.00", "%", "100", "0"]
    assert found["Data"] == [
        "  sample  5,000 images, MNIST, CC BY-SA 3.0, LeCun",
        "  fonts:  100 images",
    ]
    assert found["Model"][6].endswith(
        "0.9000, at least 99.9 % of the accepted right, 95 % sure on 8,000 images (7,000 accepted, 2 wrong)"
    )
    without = dataclasses.replace(FULL, trust=dataclasses.replace(FULL.trust, guarantee=None))
    assert sections(without)["Model"][6].endswith("0.9000, for 99.9 % right among the accepted")


def test_training_images_that_are_no_digit_are_counted_apart() -> None:
    assert "trained on" in sections(FULL)["Model"][2]
    assert sections(FULL)["Model"][2].endswith("10 images of digits and 7 of none")
    assert sections(CARD)["Model"][2].endswith("10 images")


def test_an_older_card_has_fewer() -> None:
    assert list(sections(CARD)) == ["Model", "Accuracy", "Made"]


def test_without_held_out_images_the_table_is_of_test_images() -> None:
    bare = dataclasses.replace(FULL.trust, uncalibrated=None, validation=None, accepted=None)
    found = sections(dataclasses.replace(FULL, trust=bare))
    assert "Accepted at other thresholds, test images" in found
    assert len(found["Calibration"]) == 2


@pytest.mark.parametrize("card", [CARD, FULL])
def test_no_line_ends_in_blanks(card: ModelCard) -> None:
    assert all(line == line.rstrip() for line in format_card(card).splitlines())


def test_numbers_end_and_names_begin_in_one_column() -> None:
    lines = table([("a", "1", "22"), ("bcd", "333", "4")]).splitlines()
    assert lines == ["  a      1  22", "  bcd  333   4"]
    assert table([("a", "x"), ("bcd", "yyy")]).splitlines() == ["  a    x", "  bcd  yyy"]
