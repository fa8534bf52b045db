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
        "Wrongly accepted at the threshold",
        "Formats",
        "Made",
    ]
    assert found["Accepted at the threshold"][1].split() == ["validation", "90.00", "%", "98.89", "%", "1"]
    assert found["Wrongly accepted at the threshold"][1].split() == ["letters", "500", "0", "12", "2.40", "%"]
    assert found["Formats"][1].split() == ["model.keras", "10", "90.00", "%", "100", "0"]
    assert "accept threshold  0.9000, for 99.9 % right among the accepted" in found["Model"][6]


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
