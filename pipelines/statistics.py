"""What is kept of a work item beside its rows: enough to reconcile and report, and mergeable."""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from typing import Self

from pipelines.agreement import Agreement, Disagreement, gravest, merge_agreements
from schemas.digit import CLASSES
from schemas.failure import Failure
from schemas.manifest import Part

BINS = 20
"""Bins of the confidence histogram, of equal width over [0, 1]."""

DOUBTFUL_KEPT = 24
"""Least sure images whose pixels are kept for the report."""

DISAGREEMENTS_KEPT = 24
"""Images whose pixels are kept because the model and its challenger differ on them."""


@dataclasses.dataclass(frozen=True)
class Tally:
    """Images of one folder that were given one digit."""

    folder: str
    digit: int
    images: int
    confidence: float
    """Sum of the confidences."""


@dataclasses.dataclass(frozen=True)
class Doubtful:
    """An image that the model was unsure of, with the pixels that it saw."""

    confidence: float
    image: str
    digit: int
    second_digit: int
    label: int
    png: str
    """The canonical digit as a PNG, base64."""


@dataclasses.dataclass(frozen=True)
class ItemStatistics:
    """The statistics record of one work item; written last, it is what says that the item is done.

    Attributes:
        digest: the work item's.
        listed: images in the work item.
        scored: rows in its prediction files.
        accepted: rows decided `accept`.
        failures: its failed images.
        tallies: per folder and digit.
        confidences: rows per confidence bin.
        confusion: rows per [label][digit], labelled rows only.
        doubtful: the least sure rows, least sure first.
        parts: its prediction files.
        agreements: rows by the digits that the model and its challenger gave; none without a challenger.
        disagreements: rows that both are sure of and differ on, surest first.
    """

    digest: str
    listed: int
    scored: int
    accepted: int
    failures: tuple[Failure, ...]
    tallies: tuple[Tally, ...]
    confidences: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    doubtful: tuple[Doubtful, ...]
    parts: tuple[Part, ...]
    agreements: tuple[Agreement, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()

    def to_json(self) -> str:
        """Returns the record as the text of its file."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: when the text is no such record.
        """
        try:
            fields = json.loads(text)
            fields["failures"] = tuple(Failure(**failure) for failure in fields["failures"])
            fields["tallies"] = tuple(Tally(**tally) for tally in fields["tallies"])
            fields["doubtful"] = tuple(Doubtful(**doubtful) for doubtful in fields["doubtful"])
            fields["agreements"] = tuple(Agreement(**cell) for cell in fields["agreements"])
            fields["disagreements"] = tuple(Disagreement(**image) for image in fields["disagreements"])
            fields["parts"] = tuple(Part(**part) for part in fields["parts"])
            fields["confidences"] = tuple(fields["confidences"])
            fields["confusion"] = tuple(tuple(row) for row in fields["confusion"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no statistics record: {error}") from error


@dataclasses.dataclass(frozen=True)
class RunStatistics:
    """All work items' statistics together; the same whatever the order of the items.

    The attributes are those of `ItemStatistics`.
    """

    listed: int
    scored: int
    accepted: int
    failures: tuple[Failure, ...]
    tallies: tuple[Tally, ...]
    confidences: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    doubtful: tuple[Doubtful, ...]
    parts: tuple[Part, ...]
    agreements: tuple[Agreement, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()

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


def join(digest: str, pieces: Iterable[ItemStatistics]) -> ItemStatistics:
    """Returns the statistics of a work item from those of its pieces."""
    run = merge(pieces)
    return ItemStatistics(
        digest, **{field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    )


def _nothing() -> ItemStatistics:
    zeros = (0,) * CLASSES
    return ItemStatistics("", 0, 0, 0, (), (), (0,) * BINS, (zeros,) * CLASSES, (), ())


def merge(items: Iterable[ItemStatistics]) -> RunStatistics:
    """Adds up work items; none at all add up to nothing."""
    ordered = sorted((_nothing(), *items), key=lambda item: item.digest)
    doubtful = sorted(
        (image for item in ordered for image in item.doubtful),
        key=lambda image: (image.confidence, image.image),
    )
    return RunStatistics(
        listed=sum(item.listed for item in ordered),
        scored=sum(item.scored for item in ordered),
        accepted=sum(item.accepted for item in ordered),
        failures=tuple(
            sorted(
                (failure for item in ordered for failure in item.failures), key=lambda failure: failure.image
            )
        ),
        tallies=_merge_tallies(tally for item in ordered for tally in item.tallies),
        confidences=tuple(map(sum, zip(*(item.confidences for item in ordered), strict=True))),
        confusion=tuple(
            tuple(map(sum, zip(*rows, strict=True)))
            for rows in zip(*(item.confusion for item in ordered), strict=True)
        ),
        doubtful=tuple(doubtful[:DOUBTFUL_KEPT]),
        parts=tuple(sorted((part for item in ordered for part in item.parts), key=lambda part: part.name)),
        agreements=merge_agreements(cell for item in ordered for cell in item.agreements),
        disagreements=gravest(
            (image for item in ordered for image in item.disagreements), DISAGREEMENTS_KEPT
        ),
    )


def _merge_tallies(tallies: Iterable[Tally]) -> tuple[Tally, ...]:
    grouped: dict[tuple[str, int], list[Tally]] = {}
    for tally in tallies:
        grouped.setdefault((tally.folder, tally.digit), []).append(tally)
    return tuple(
        Tally(folder, digit, sum(tally.images for tally in group), total_confidence(group))
        for (folder, digit), group in sorted(grouped.items())
    )


def total_confidence(tallies: Iterable[Tally]) -> float:
    """Returns the sum of confidences, the same in any order: `math.fsum` does not round in between."""
    return math.fsum(tally.confidence for tally in tallies)


def count_codes(failures: Iterable[Failure], codes: Iterable[str]) -> Mapping[str, int]:
    """Returns how many failures have each of the codes, zeros included."""
    counts = dict.fromkeys(map(str, codes), 0)
    for failure in failures:
        counts[failure.code] += 1
    return counts
