import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.fields.field_checks import Reading, field_check
from pipelines.fields.field_values import Member, make_field


def member(position: int | None, digit: int = 1, confidence: float = 1.0, **more: object) -> Member:
    reading = Reading(digit, confidence, (digit + 1) % 10, 1 - confidence)
    image = f"file:///in/{position}{len(more)}.png"
    return Member(position, image, "", reading, **{"accepted": confidence >= 0.9, **more})


def failed(position: int, code: str = "CORRUPT") -> Member:
    return Member(position, f"file:///in/{position}.png", code)


def test_digits_are_joined_by_their_positions() -> None:
    made = make_field("a", [member(10, 3), member(9, 2), *map(member, range(1, 9))], threshold=0.9)
    assert made.value == "1111111123"
    assert (made.decision, made.reason, made.note) == ("accept", None, None)
    assert made.confidence == 1
    assert made.members == 10
    assert json.loads(made.images)[-1] == "file:///in/100.png"


@pytest.mark.parametrize(
    ("confidences", "decision"),
    [
        ((0.99, 0.99), "accept"),
        ((0.94, 0.94), "review"),  # each digit is accepted, but 0.88 is less than 0.9
        ((0.89, 1.0), "review"),
        ((0.9, 1.0), "accept"),
    ],
)
def test_a_field_is_accepted_if_all_digits_are_and_their_product_reaches_the_threshold(
    confidences: tuple[float, ...], decision: str
) -> None:
    members = [member(at, confidence=confidence) for at, confidence in enumerate(confidences)]
    assert make_field("a", members, threshold=0.9).decision == decision


def test_a_digit_for_review_keeps_its_field_from_being_accepted() -> None:
    members = [member(1), member(2, accepted=False)]
    assert make_field("a", members, threshold=0.9).decision == "review"


@pytest.mark.parametrize(
    ("members", "value", "note"),
    [
        ([member(1), member(3)], "1?1", "position 2 missing"),
        ([member(0), member(4)], "1???1", "positions 1 to 3 missing"),
        ([member(3)], "??1", "positions 1 to 2 missing"),
        ([member(1), failed(2)], "1?", "position 2 failed: CORRUPT"),
        ([failed(1, "EMPTY")], "?", "position 1 failed: EMPTY"),
        ([member(1), member(2), member(2, label=3)], "1?", "position 2 there 2 times"),
        ([member(None)], "?", "no number for a position: None0.png"),
        ([member(1), member(10**12)], "1?1", "positions 2 to 999999999999 missing"),
    ],
)
def test_a_field_with_a_digit_that_is_not_known_says_so(members: list, value: str, note: str) -> None:
    made = make_field("a", members, threshold=0.9)
    assert (made.value, made.note) == (value, note)
    assert (made.decision, made.reason) == ("review", "INCOMPLETE")
    assert made.confidence is made.proposal is made.label is None


def test_where_fields_count_from_0_a_missing_first_digit_is_a_gap() -> None:
    made = make_field("a", [member(1), member(2)], threshold=0.9, first=0)
    assert (made.value, made.note, made.decision) == ("?11", "position 0 missing", "review")
    assert make_field("a", [member(0), member(1)], threshold=0.9, first=0).decision == "accept"


def test_a_note_names_some_of_very_many() -> None:
    made = make_field("a", [member(2 * at) for at in range(100)], threshold=0.9)
    assert made.note is not None
    assert made.note.endswith("position 15 missing; 91 more")


def test_an_impossible_value_is_for_review_with_the_likeliest_possible_one() -> None:
    digits = (7, 9, 9, 2, 7, 3, 9, 8, 7, 1)
    members = [member(at, digit, confidence=0.99) for at, digit in enumerate(digits)]
    members.append(member(10, 2, confidence=0.6))
    made = make_field("a", members, threshold=0.5, check=field_check("luhn"))
    assert (made.value, made.decision, made.reason) == ("79927398712", "review", "INVALID")
    assert made.note == "the value fails the check"
    assert made.proposal == "79927398713"
    assert made.proposal_confidence == pytest.approx(0.99**10 * 0.4)


def test_a_possible_value_gets_no_proposal() -> None:
    members = [member(at, digit) for at, digit in enumerate((1, 8))]
    made = make_field("a", members, threshold=0.5, check=field_check("luhn"))
    assert (made.decision, made.proposal) == ("accept", None)


@pytest.mark.parametrize(("labels", "label"), [((1, 2), "12"), ((1, -1), None)])
def test_the_true_value_is_known_where_all_labels_are(labels: tuple[int, ...], label: str | None) -> None:
    members = [member(at, label=each) for at, each in enumerate(labels)]
    assert make_field("a", members, threshold=0.9).label == label


@given(st.permutations([member(1, 4, 0.97), member(2, 5, 0.93), member(2, 5, 0.9, label=5), failed(4)]))
def test_the_order_of_the_images_does_not_matter(members: list[Member]) -> None:
    ordered = [member(1, 4, 0.97), member(2, 5, 0.93), member(2, 5, 0.9, label=5), failed(4)]
    assert make_field("a", members, threshold=0.9) == make_field("a", ordered, threshold=0.9)
