"""Gates of a run: conditions on its manifest's figures that make a finished run fail."""

import dataclasses
import difflib
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Self

from schemas.errors import UserError
from schemas.failure import FailureCode
from schemas.manifest import FieldCounts, Manifest

SHARES: Final[Mapping[str, str]] = {
    "accepted": "scored images that are accepted",
    "review": "scored images that are for review",
    "not_digits": "scored images that are for review because they seem to be no digit",
    "failed": "images that failed, of those that were not skipped",
    "accuracy": "labeled images that are right",
    "accuracy_low": "lower bound of the 95 % Wilson interval of the accuracy",
    "accuracy_high": "its upper bound",
    "accepted_accuracy": "accepted images with a label that are right",
    "agreed": "scored images on which the challenger agrees",
    "challenger_accuracy": "labeled images that the challenger has right",
    "audit_error": "accepted images of the earlier runs that are wrong, by their audits",
    "fields.accepted": "fields that are accepted",
    "fields.review": "fields that are complete and possible, but for review",
    "fields.incomplete": "fields of which a digit is missing or failed",
    "fields.invalid": "fields whose value is impossible",
    "fields.accuracy": "complete fields with labels that are right",
    "fields.accepted_accuracy": "accepted fields with labels that are right",
}
"""Figures in [0, 1]."""

NUMBERS: Final[Mapping[str, str]] = {
    "drift": "the drift index against the model's own images",
    "drift_from_previous": "the drift index against the run before",
    "listed": "listed images",
    "scored": "scored images",
    "labeled": "scored images with a label",
    "fields": "fields of which an image was scored",
    "skipped": "images that an earlier run has scored",
    "ignored": "files that are left out",
    "vanished": "folders that vanished while they were listed",
    "images_per_second": "images scored or failed per second",
    **{f"failures.{code}": f"images that failed as {code}" for code in FailureCode},
}
"""Other figures."""

FIGURES: Final = {**SHARES, **NUMBERS}

_MAY_BE_UNKNOWN: Final = frozenset({"audit_error", "drift_from_previous", "images_per_second"})

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM: Final = re.compile(r"\s*([\w.]+)\s*(<=|>=|<|>)\s*([-+.\deE]+)\s*")


@dataclasses.dataclass(frozen=True)
class Gate:
    """A condition that fails a run, such as `drift>0.25`."""

    figure: str
    comparison: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a gate; raise UserError if the text is not one."""
        parts = _FORM.fullmatch(text)
        if parts is None:
            raise UserError(
                "invalid --fail-on",
                value=text,
                hint="write a figure, < or >, and a number in quotes, such as 'drift>0.25'",
            )
        figure, comparison, number = parts.groups()
        if figure not in FIGURES:
            close = difflib.get_close_matches(figure, FIGURES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"give one of {', '.join(FIGURES)}"
            raise UserError("unknown figure in --fail-on", value=figure, hint=hint)
        return cls(figure, comparison, _bound(figure, number, text))

    def __str__(self) -> str:
        return f"{self.figure}{self.comparison}{self.bound:.12g}"

    def trips(self, value: float) -> bool:
        """Whether this value of the figure fails the run."""
        return _COMPARISONS[self.comparison](value, self.bound)


def _bound(figure: str, number: str, text: str) -> float:
    try:
        bound = float(number)
    except ValueError:
        raise UserError("no number in --fail-on", value=text, hint="write 'drift>0.25'") from None
    if figure in SHARES and not 0 <= bound <= 1:
        raise UserError(
            f"{figure} in --fail-on is a share between 0 and 1", value=text, hint="write 0.9 for 90 %"
        )
    return bound


def figures(manifest: Manifest) -> dict[str, float | None]:
    """Return every figure of a manifest; None for unknown ones."""
    counts, scored = manifest.counts, manifest.counts.scored
    accuracy, challenger = manifest.accuracy, manifest.challenger_accuracy
    return {
        "accepted": _share(manifest.accepted, scored),
        "review": _share(scored - manifest.accepted, scored),
        "not_digits": _share(manifest.not_digits, scored),
        "failed": manifest.failure_rate,
        "accuracy": accuracy.value if accuracy else None,
        "accuracy_low": accuracy.interval[0] if accuracy else None,
        "accuracy_high": accuracy.interval[1] if accuracy else None,
        "accepted_accuracy": _share(manifest.accepted_right, manifest.accepted_labeled),
        "agreed": _share(manifest.agreed, scored) if manifest.challenger else None,
        "challenger_accuracy": challenger.value if challenger else None,
        "audit_error": manifest.audit_error,
        **_field_figures(manifest.fields),
        "drift": manifest.drift,
        "drift_from_previous": manifest.drift_from_previous,
        "listed": counts.listed,
        "scored": scored,
        "labeled": manifest.labeled,
        "fields": manifest.fields.fields if manifest.fields else None,
        "skipped": counts.skipped,
        "ignored": manifest.ignored,
        "vanished": manifest.vanished,
        "images_per_second": manifest.images_per_second if manifest.times["images"] else None,
        **{f"failures.{code}": count for code, count in manifest.failures.items()},
    }


def _field_figures(found: FieldCounts | None) -> dict[str, float | None]:
    """Return the shares of fields; all None for a run without fields."""
    counts = found or FieldCounts()
    return {
        "fields.accepted": _share(counts.accepted, counts.fields),
        "fields.review": _share(counts.unsure, counts.fields),
        "fields.incomplete": _share(counts.incomplete, counts.fields),
        "fields.invalid": _share(counts.invalid, counts.fields),
        "fields.accuracy": _share(counts.right, counts.labeled),
        "fields.accepted_accuracy": _share(counts.accepted_right, counts.accepted_labeled),
    }


def tripped(gates: Iterable[Gate], manifest: Manifest) -> dict[str, float | None]:
    """Return the gates that a run trips, as text, each with the figure's value.

    An unknown figure trips its gate, because nothing shows that the run is good. Exceptions are figures that
    cannot exist: all figures of a run that scored nothing, such as a night without new images; drift from
    the previous run in a first run; audit figures before the first audit; and the speed of a launcher that
    had nothing left to score.
    """
    found = figures(manifest)
    failing = {}
    for gate in gates:
        value = found[gate.figure]
        unknown = manifest.counts.scored and gate.figure not in _MAY_BE_UNKNOWN
        if gate.trips(value) if value is not None else unknown:
            failing[str(gate)] = value
    return failing


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
