"""What is kept of a work item beside its rows: enough to reconcile and report, and mergeable."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, Self

from pipelines.statistics.agreement import Agreement, Disagreement, gravest, merge_agreements
from pipelines.statistics.kept_images import (
    FailurePicture,
    KeptImage,
    drawn,
    first_of_each,
    least_sure,
    surest,
)
from pipelines.statistics.tallies import Tally, merge_tallies
from pipelines.statistics.thresholds import ConfidenceCounts, merge_confidences
from schemas.digit import CLASSES
from schemas.failure import Failure
from schemas.manifest import Part
from schemas.model.model_card import HISTOGRAM_BINS

BINS = 20
"""Bins of the confidence histogram, of equal width over [0, 1]."""


@dataclasses.dataclass(frozen=True)
class RunStatistics:
    """All work items' statistics together; the same whatever the order of the items.

    Attributes:
        listed: images that were listed.
        scored: rows in prediction files.
        accepted: rows decided `accept`.
        failures: the failed images.
        tallies: per folder and digit.
        confidences: rows per confidence bin.
        confusion: rows per [label][digit], labelled rows only.
        doubtful: the least sure rows, least sure first.
        parts: the prediction files.
        agreements: rows by the digits that the model and its challenger gave; none without a challenger.
        disagreements: rows that both are sure of and differ on, surest first.
        accepted_labelled: rows decided `accept` whose label is known.
        accepted_right: of these answered right.
        thresholds: rows by confidence, finely.
        grey_levels: pixels of every fourth image by bin of equal width over [0, 255], as a model card has
            them; all zero where rows were merged, of which no pixels are left.
        mistaken: rows whose label is another digit, surest first.
        examples: of each predicted digit a sample.
        failure_pictures: of failures that decode one for each code.
    """

    listed: int
    scored: int
    accepted: int
    failures: tuple[Failure, ...]
    tallies: tuple[Tally, ...]
    confidences: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    doubtful: tuple[KeptImage, ...]
    parts: tuple[Part, ...]
    agreements: tuple[Agreement, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    accepted_labelled: int = 0
    accepted_right: int = 0
    thresholds: ConfidenceCounts = ConfidenceCounts()  # noqa: RUF009 - frozen
    grey_levels: tuple[int, ...] = (0,) * HISTOGRAM_BINS
    mistaken: tuple[KeptImage, ...] = ()
    examples: tuple[KeptImage, ...] = ()
    failure_pictures: tuple[FailurePicture, ...] = ()

    @property
    def labelled(self) -> int:
        """Scored images whose label is known."""
        return sum(map(sum, self.confusion))

    @property
    def right(self) -> int:
        """Labelled images whose digit is the label."""
        return sum(row[label] for label, row in enumerate(self.confusion))

    @property
    def agreed(self) -> int:
        """Scored images to which the challenger gave the same digit."""
        return sum(cell.images for cell in self.agreements if cell.digit == cell.challenger_digit)

    @property
    def challenger_right(self) -> int:
        """Labelled images whose challenger's digit is the label."""
        return sum(cell.challenger_right for cell in self.agreements)


@dataclasses.dataclass(frozen=True)
class ItemStatistics(RunStatistics):
    """The statistics record of one work item; written last, it is what says that the item is done.

    Attributes:
        digest: the work item's.
    """

    digest: str = dataclasses.field(kw_only=True)

    def to_json(self) -> str:
        """Returns the record as the text of its file."""
        return json.dumps({"digest": self.digest} | dataclasses.asdict(self), separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: when the text is no such record.
        """
        try:
            fields = json.loads(text)
            for name, record in _RECORDS.items():
                fields[name] = tuple(record(**each) for each in fields.get(name, ()))
            for name in ("confidences", "grey_levels"):
                fields[name] = tuple(fields.get(name, (0,) * HISTOGRAM_BINS))
            fields["confusion"] = tuple(tuple(row) for row in fields["confusion"])
            counted = fields.get("thresholds", {})
            fields["thresholds"] = ConfidenceCounts(**{name: tuple(row) for name, row in counted.items()})
            return cls(**fields)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"no statistics record: {error}") from error


_RECORDS: Mapping[str, Any] = {
    "failures": Failure,
    "tallies": Tally,
    "doubtful": KeptImage,
    "parts": Part,
    "agreements": Agreement,
    "disagreements": Disagreement,
    "mistaken": KeptImage,
    "examples": KeptImage,
    "failure_pictures": FailurePicture,
}


def join(digest: str, pieces: Iterable[ItemStatistics]) -> ItemStatistics:
    """Returns the statistics of a work item from those of its pieces."""
    run = merge(pieces)
    return ItemStatistics(**vars(run), digest=digest)


def _nothing() -> ItemStatistics:
    zeros = (0,) * CLASSES
    return ItemStatistics(0, 0, 0, (), (), (0,) * BINS, (zeros,) * CLASSES, (), (), digest="")


def merge(items: Iterable[ItemStatistics]) -> RunStatistics:
    """Adds up work items; none at all add up to nothing."""
    ordered = sorted((_nothing(), *items), key=lambda item: item.digest)

    def all_of(name: str) -> Iterable[Any]:
        return (each for item in ordered for each in getattr(item, name))

    def summed(name: str) -> int:
        return sum(getattr(item, name) for item in ordered)

    return RunStatistics(
        listed=summed("listed"),
        scored=summed("scored"),
        accepted=summed("accepted"),
        failures=tuple(sorted(all_of("failures"), key=lambda failure: failure.image)),
        tallies=merge_tallies(all_of("tallies")),
        confidences=_columns(item.confidences for item in ordered),
        confusion=tuple(map(_columns, zip(*(item.confusion for item in ordered), strict=True))),
        doubtful=least_sure(all_of("doubtful")),
        parts=tuple(sorted(all_of("parts"), key=lambda part: part.name)),
        agreements=merge_agreements(all_of("agreements")),
        disagreements=gravest(all_of("disagreements")),
        accepted_labelled=summed("accepted_labelled"),
        accepted_right=summed("accepted_right"),
        thresholds=merge_confidences(item.thresholds for item in ordered),
        grey_levels=_columns(item.grey_levels for item in ordered),
        mistaken=surest(all_of("mistaken")),
        examples=drawn(all_of("examples")),
        failure_pictures=first_of_each(all_of("failure_pictures")),
    )


def _columns(rows: Iterable[Iterable[int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))


def count_codes(failures: Iterable[Failure], codes: Iterable[str]) -> Mapping[str, int]:
    """Returns how many failures have each of the codes, zeros included."""
    counts = dict.fromkeys(map(str, codes), 0)
    for failure in failures:
        counts[failure.code] += 1
    return counts
