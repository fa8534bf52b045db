import dataclasses

import pytest

from schemas.model.model_card import ModelCard
from tests.trainer.report.histories import EPOCHS, UNVALIDATED
from tests.trainer.report.test_record import MEMBER
from trainer.report import training_tables
from trainer.report.record import RunRecord


def test_key_figures(card: ModelCard, run_record: RunRecord) -> None:
    facts = {name: (value, note) for name, value, note in training_tables.facts(card, run_record, EPOCHS)}
    assert facts["Test accuracy"][0] == "89.32\xa0%"
    assert "95\xa0% interval" in facts["Test accuracy"][1]
    assert "92 of 103" in facts["Test accuracy"][1]
    assert facts["Training time"][0] == "1.5\xa0s"
    assert facts["Training time"][1].startswith("3 epochs, the best on validation 3; batches of 32")
    assert facts["Training images"] == ("400", "and 100 validation, 103 test images")
    assert "temperature 0.800" in facts["Calibration error"][1]


def test_without_validation_there_are_no_validation_figures(card: ModelCard, run_record: RunRecord) -> None:
    bare = dataclasses.replace(card, validation_accuracy=None, temperature=1.0, images_per_second=None)
    facts = {name: note for name, _, note in training_tables.facts(bare, run_record, UNVALIDATED)}
    assert "Validation accuracy" not in facts
    assert facts["Training time"] == "3 epochs; batches of 32"
    assert facts["Calibration error"].endswith("no temperature")


def test_an_ensembles_epochs_are_its_members(card: ModelCard, run_record: RunRecord) -> None:
    several = dataclasses.replace(run_record, members=(MEMBER, MEMBER))
    facts = {name: note for name, _, note in training_tables.facts(card, several, EPOCHS)}
    assert facts["Training time"].startswith("3 epochs of 2 members;")


def test_digits_add_up(run_record: RunRecord) -> None:
    rows = list(training_tables.digit_cells(run_record.answers["test"]))
    assert [row[0][0] for row in rows] == [str(digit) for digit in range(10)]
    assert sum(row[1][1] for row in rows) == 103
    assert sum(row[3][1] for row in rows) == 11
    assert all(len(row) == len(training_tables.DIGIT_COLUMNS) for row in rows)
    assert any(row[-1][0].startswith(f"{(digit + 1) % 10} (") for digit, row in enumerate(rows))


def test_a_missing_digit_has_dashes(run_record: RunRecord) -> None:
    none = tuple((0,) * 10 for _ in range(10))
    row = next(training_tables.digit_cells(dataclasses.replace(run_record.answers["test"], confusion=none)))
    assert row[4:] == [("–", None)] * 3 + [("–", 0.0)]


def test_classes_of_every_split(run_record: RunRecord) -> None:
    rows = list(training_tables.class_cells(run_record))
    assert list(run_record.class_counts) == ["train", "validation", "test"]
    assert [sum(row[place][1] for row in rows) for place in (1, 2, 3)] == [400, 100, 103]


def test_calibration_before_and_after_of_both_splits(run_record: RunRecord) -> None:
    assert [row[0] for row in training_tables.calibration_rows(run_record, 0.8)] == [
        "Images",
        "validation, no temperature",
        "validation",
        "test, no temperature",
        "test",
    ]
    assert [row[0] for row in training_tables.calibration_rows(run_record, 1)] == [
        "Images",
        "validation",
        "test",
    ]


def test_formats_members_and_out_of_distribution_rows(card: ModelCard, run_record: RunRecord) -> None:
    assert list(training_tables.export_rows(card))[1:] == [("model.keras", "10", "90.00\xa0%", "100", "0")]
    several = dataclasses.replace(run_record, members=(MEMBER,))
    _, (number, recipe, seed, accuracy, _, epochs) = training_tables.member_rows(several)
    assert (number, recipe, seed, accuracy, epochs) == ("1", "cnn", "3", "96.12\xa0%", "2")
    rows = list(training_tables.out_of_distribution_rows(card.trust))
    assert rows[1] == ("letters", "500", "0", "12", "2.40\xa0%")


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (True, "yes"), (False, "no"), (0.001, "0.001"), (3, "3"), ("mixed", "mixed")],
)
def test_settings_in_words(value, words: str) -> None:
    assert training_tables.setting(value) == words


def test_pictures_that_are_no_digit_have_a_row(record_of, with_not_digits, card) -> None:
    *_, last = training_tables.class_cells(record_of(with_not_digits))
    assert [text for text, _ in last] == ["none", "100", "25", "25"]
    *_, unfamiliar = training_tables.out_of_distribution_rows(card.trust)
    assert unfamiliar == ("of the test data", "20", "–", "3", "15.00\xa0%")
