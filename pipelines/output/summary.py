"""The summary that a finished run prints."""

import dataclasses
import json
from typing import Any

from digitmill.reports.numbers import figure
from schemas import manifest
from schemas.errors import ExitCode, counted
from schemas.layout import FAILURES, PREDICTIONS, REPORT_PAGE, Detail, parse_formats
from schemas.manifest import Manifest, Status
from schemas.model.accuracy import percent


@dataclasses.dataclass(frozen=True)
class Summary:
    """A finished run in a few lines.

    Attributes:
        place: the output folder.
        was_finished: whether the run was finished already when this command resumed it.
    """

    place: str
    manifest: Manifest
    was_finished: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the command."""
        if self.manifest.status == Status.OVER_BUDGET:
            return ExitCode.OVER_BUDGET
        return ExitCode.GATE_TRIPPED if self.manifest.tripped else ExitCode.OK

    def as_data(self) -> dict[str, Any]:
        """Return the manifest and the output's location as JSON data."""
        return {"output": self.place, **json.loads(self.manifest.to_json())}

    def table(self) -> str:
        """Return the lines to print."""
        rows = self.rows()
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())

    def rows(self) -> dict[str, str]:
        """Return the lines of the summary, as values by name."""
        first, *_ = parse_formats(self.manifest.options.get("format"))
        rows = {
            "resumed": "nothing to do, the run had finished before" if self.was_finished else None,
            "images": f"{self.manifest.counts.listed:,}",
            "scored": f"{self.manifest.counts.scored:,} ({self._accepted()})",
            "failed": self._failed(),
            "failures": f"{self.place}/{FAILURES}" if self.manifest.counts.failed else None,
            "skipped": self._skipped(),
            "ignored": self._ignored(),
            "vanished": self._vanished(),
            "accuracy": self.manifest.accuracy,
            "fields": self._fields(),
            "challenger": self._challenger(),
            "tripped": self._tripped(),
            "images/s": f"{self.manifest.images_per_second:,.0f}" if self.manifest.counts.scored else None,
            "report": self._report(),
            "predictions": f"{self.place}/{PREDICTIONS}/part-*.{first}",
            "manifest": f"{self.place}/{manifest.FILE}",
        }
        return {name: str(value) for name, value in rows.items() if value is not None}

    def _report(self) -> str | None:
        there = self.manifest.options.get("report") != Detail.NONE
        return f"{self.place}/{REPORT_PAGE}" if there else None

    def _accepted(self) -> str:
        review = self.manifest.counts.scored - self.manifest.accepted
        no_digit = f", {self.manifest.not_digits:,} of these no digit" if self.manifest.not_digits else ""
        return f"{self.manifest.accepted:,} accepted, {review:,} for review{no_digit}"

    def _fields(self) -> str | None:
        counts = self.manifest.fields
        if counts is None:
            return None
        if not counts.fields:
            if not self.manifest.counts.scored + self.manifest.counts.failed:
                return "0: no image is new"
            named = self.manifest.options.get("field")
            where = "--field" if named else "the column field of the input list"
            return f"0: no image is in a field; check {where}"
        parts = {
            "accepted": counts.accepted,
            "for review": counts.unsure,
            "invalid": counts.invalid,
            "incomplete": counts.incomplete,
        }
        words = ", ".join(f"{count:,} {name}" for name, count in parts.items() if count)
        return f"{counts.fields:,} ({words})"

    def _tripped(self) -> str | None:
        found = {gate: figure(value) for gate, value in self.manifest.tripped.items()}
        return ", ".join(f"{gate} ({value})" for gate, value in found.items()) or None

    def _challenger(self) -> str | None:
        if self.manifest.challenger is None:
            return None
        scored = self.manifest.counts.scored
        share = f" ({percent(self.manifest.agreed / scored)})" if scored else ""
        accuracy = self.manifest.challenger_accuracy
        own = f"; its own accuracy {accuracy}" if accuracy else ""
        return f"agrees on {self.manifest.agreed:,} of {scored:,}{share}{own}"

    def _failed(self) -> str:
        codes = [f"{code} {count:,}" for code, count in self.manifest.failures.items() if count]
        line = f"{self.manifest.counts.failed:,}" + (f" ({', '.join(codes)})" if codes else "")
        if self.manifest.status == Status.OVER_BUDGET:
            allowed = float(self.manifest.options["max_failure_rate"] or 0)
            tried = "of those not skipped" if self.manifest.counts.skipped else "of the images"
            line += f": {self.manifest.failure_rate:.1%} {tried}, more than the {allowed:.1%} allowed"
            line += " (--max-failure-rate)"
        return line

    def _skipped(self) -> str | None:
        skipped, failed = self.manifest.counts.skipped, self.manifest.skipped_failed
        if not skipped:
            return None
        had_failed = f", {failed:,} failed before (--retry-failures scores those again)" if failed else ""
        return f"{skipped:,}: {skipped - failed:,} scored before{had_failed}"

    def _ignored(self) -> str | None:
        ignored = self.manifest.ignored
        return f"{ignored:,} (junk or excluded)" if ignored else None

    def _vanished(self) -> str | None:
        vanished = self.manifest.vanished
        return f"{counted(vanished, 'folder')}, during the listing" if vanished else None
