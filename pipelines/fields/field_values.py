"""Makes one value and one decision from the images of a field."""

import collections
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from pipelines.fields.field_checks import Check, Reading, joint_confidence, likeliest_valid
from schemas.prediction import NO_LABEL, UNKNOWN, Decision, Field, FieldReason

_MOST_UNKNOWN: Final = 64
"""Digits in a row that are missing, beyond which one question mark stands for them."""

_MOST_NOTED: Final = 8
"""Images of a field that its note names one by one."""


_Gap = tuple[int, int]
"""First and last of the positions in a row that are missing."""


class Member(NamedTuple):
    """An image of a field, with its prediction or its failure.

    Attributes:
        position: place in the field; None if it is not a whole number.
        failure: failure code, or why there is no prediction; empty if there is a prediction.
    """

    position: int | None
    image: str
    failure: str = ""
    reading: Reading | None = None
    accepted: bool = False
    label: int = NO_LABEL


def make_field(
    name: str, members: Sequence[Member], *, threshold: float, check: Check | None = None, first: int = 1
) -> Field:
    """Return the row of a field, of at least one image, whose positions count from `first`.

    It is accepted if each digit is accepted and the product of their confidences reaches the accept threshold
    of a single digit. So an accepted field is as sure as an accepted digit, if errors are independent.
    """
    ordered = sorted(members, key=lambda each: (each.position is None, each.position or 0, each.image))
    by_position: dict[int, list[Member]] = collections.defaultdict(list)
    for member in ordered:
        if member.position is not None:
            by_position[member.position].append(member)
    gaps = list(_gaps(by_position, first))
    notes = list(_notes(ordered, by_position, gaps))
    readings = [member.reading for member in ordered if member.reading]
    joint: float | None = None
    reason: FieldReason | None = None
    proposal: tuple[str, float] | None = None
    value = _value(by_position, gaps)
    if notes:
        reason = FieldReason.INCOMPLETE
    else:
        joint = joint_confidence(readings)
        if check is not None and not check(value):
            reason, proposal = FieldReason.INVALID, likeliest_valid(readings, check)
            notes = ["the value fails the check"]
    # Compared as float32, as single digits are.
    sure = joint is not None and np.float32(joint) >= np.float32(threshold)
    accepted = not reason and sure and all(member.accepted for member in ordered)
    return Field(
        field=name,
        value=value,
        confidence=_rounded(joint),
        decision=Decision.ACCEPT if accepted else Decision.REVIEW,
        reason=reason,
        note=_note(notes),
        proposal=proposal[0] if proposal else None,
        proposal_confidence=_rounded(proposal[1]) if proposal else None,
        label=None if reason == FieldReason.INCOMPLETE else _label(ordered),
        members=len(members),
        images=json.dumps([member.image for member in ordered]),
    )


def _rounded(confidence: float | None) -> float | None:
    """Return a confidence as the table has it: pages made of either are the same."""
    return None if confidence is None else round(confidence, 6)


def _notes(
    ordered: Sequence[Member], by_position: dict[int, list[Member]], gaps: Sequence[_Gap]
) -> Iterator[str]:
    """Yield what keeps a field from being complete."""
    for member in ordered:
        if member.position is None:
            yield f"no number for a position: {member.image.rpartition('/')[2]}"
    for position, here in by_position.items():
        if len(here) > 1:
            yield f"position {position} there {len(here)} times"
        yield from (f"position {position} failed: {each.failure}" for each in here if each.failure)
    for first, last in gaps:
        yield f"position {first} missing" if first == last else f"positions {first} to {last} missing"


def _note(notes: Sequence[str]) -> str | None:
    more = len(notes) - _MOST_NOTED
    return "; ".join([*notes[:_MOST_NOTED], *([f"{more} more"] if more > 0 else [])]) or None


def _gaps(by_position: dict[int, list[Member]], first: int) -> Iterator[_Gap]:
    """Yield the first and last of the positions in a row that are missing."""
    if not by_position:
        return
    for before, after in itertools.pairwise([min(first, *by_position) - 1, *sorted(by_position)]):
        if after > before + 1:
            yield before + 1, after - 1


def _value(by_position: dict[int, list[Member]], gaps: Sequence[_Gap]) -> str:
    digits = {position: _digit(here) for position, here in by_position.items()}
    for first, last in gaps:
        missing = last - first + 1
        digits[first] = UNKNOWN * (missing if missing <= _MOST_UNKNOWN else 1)
    return "".join(digits[position] for position in sorted(digits)) or UNKNOWN


def _digit(here: Sequence[Member]) -> str:
    reading = here[0].reading
    return str(reading.digit) if len(here) == 1 and reading else UNKNOWN


def _label(ordered: Sequence[Member]) -> str | None:
    labels = [member.label for member in ordered]
    return None if NO_LABEL in labels else "".join(map(str, labels))
