"""Makes the fields of a run from its rules and outcomes."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Self

from digitmill.reports.csv_table import read_csv
from digitmill.storage import OutputFolder
from pipelines.fields.field_checks import Check, field_check
from pipelines.fields.field_join import PlaceOf, join_fields
from pipelines.fields.field_names import FieldNames, listed_place
from pipelines.fields.field_values import make_field
from pipelines.history.past_runs import PastRun
from schemas.manifest import FieldCounts
from schemas.prediction import Decision, Field

LIST_FIELDS: Final = "list_fields"
"""Setting of a run whose input list says which fields its images are in."""

MAX_SHOWN: Final = 50
"""Fields for review that are kept for the page."""


@dataclasses.dataclass(frozen=True)
class FieldRules:
    """Rules for which images form a field, and when its value is accepted.

    Attributes:
        threshold: minimum joint confidence of an accepted field.
        check: check of values; None to allow any value.
        listed: whether fields come from the input list rather than from the images' names.
    """

    place_of: PlaceOf
    threshold: float
    check: Check | None = None
    listed: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any], inputs: Sequence[str], *, threshold: float) -> Self | None:
        """Return the rules for a run's options and inputs; None for a run without fields.

        Raises:
            UserError: when a pattern or a check cannot be used.
        """
        check = field_check(str(options["field_check"])) if options.get("field_check") else None
        if options.get("field"):
            names = FieldNames.of(str(options["field"]), inputs)
            return cls(lambda uri, _: names.place_of(uri), threshold, check)
        return (
            cls(lambda _, listed: listed_place(listed), threshold, check, listed=True)
            if options.get(LIST_FIELDS)
            else None
        )

    def fields(self, output: OutputFolder, names: Iterable[str], past: Sequence[PastRun]) -> "RunFields":
        """Return the fields of a run, as found by `join_fields`."""
        joined = join_fields(output, names, past, self.place_of, listed=self.listed)
        return RunFields(
            make_field(each.name, each.members, threshold=self.threshold, check=self.check, first=each.first)
            for each in joined
        )


class RunFields:
    """Fields sorted by name, one in memory at a time. Can be iterated once.

    Attributes:
        for_review: the first `MAX_SHOWN` that are decided `review`; complete after the last field.
    """

    def __init__(self, fields: Iterable[Field]) -> None:
        self._fields = iter(fields)
        self._counts: collections.Counter[str] = collections.Counter()
        self.for_review: list[Field] = []

    def __iter__(self) -> Iterator[Field]:
        for field in self._fields:
            self._counts[_outcome(field)] += 1
            right, accepted = field.label == field.value, field.decision == Decision.ACCEPT
            if field.label is not None:
                self._counts.update(labeled=1, right=right)
                self._counts.update(accepted_labeled=accepted, accepted_right=accepted and right)
            if not accepted and len(self.for_review) < MAX_SHOWN:
                self.for_review.append(field)
            yield field

    @property
    def counts(self) -> FieldCounts:
        """Number of fields so far."""
        return FieldCounts(**self._counts)


def read_fields(output: OutputFolder, tables: Iterable[str]) -> Iterator[Field]:
    """Yield the fields in the tables of a run, one file in memory at a time.

    Raises:
        FileNotFoundError: when there is no table.
        ValueError: when a table is damaged.
    """
    for name in tables:
        yield from map(Field.from_row, read_csv(name, output.read(name)))


def _outcome(field: Field) -> str:
    if field.decision == Decision.ACCEPT:
        return "accepted"
    return field.reason.lower() if field.reason else "unsure"
