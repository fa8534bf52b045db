"""Audits of the accepted images of earlier runs, and the copies that runs keep of them.

A run is audited after it has finished. Later runs keep a copy of its audit with their reports, so that the
overall error rate still includes a run after it is deleted.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from digitmill.reports.csv_table import read_csv
from digitmill.storage import OutputFolder, open_folder
from pipelines.history.past_runs import PastRun
from schemas.checks import audit
from schemas.checks.audit import Audit
from schemas.errors import UserError
from schemas.layout import PAST_AUDITS

HEADER: Final = ("run", "accepted", "sampled", "labeled", "wrong", "not_digits", "target", "promise")
"""Columns of the copy; copies of earlier versions lack the last one."""


def read_audit(output: OutputFolder) -> Audit | None:
    """Return the result of `digitmill audit` for a run; None without an audit.

    Raises:
        UserError: when it cannot be read.
    """
    try:
        return Audit.from_json(output.read(audit.FILE).decode())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(
            "the audit is damaged", value=output.at(audit.FILE), hint=f"run `digitmill audit` again: {error}"
        ) from error


def audits_of(runs: Iterable[PastRun]) -> tuple[Audit, ...]:
    """Return the latest audits of these runs and of the runs before them, oldest first.

    Raises:
        UserError: when one cannot be read.
    """
    found: dict[str, Audit] = {}
    own: dict[str, Audit] = {}
    for run in runs:
        output = open_folder(run.place)
        found |= {each.run: each for each in read_past_audits(output)}
        mine = read_audit(output)
        # The folder may contain the audit of another run, if it was copied.
        if mine is not None and mine.run == run.digest:
            # The audit of a merged state is about the images of the runs in it.
            found = {name: each for name, each in found.items() if name not in run.merged}
            found[mine.run] = own[mine.run] = mine
    latest = (own.get(name, each) for name, each in found.items())
    return tuple(each for each in latest if each.labeled)


def read_past_audits(output: OutputFolder) -> tuple[Audit, ...]:
    """Return the audits of earlier runs stored with a run's report; empty if there are none.

    Raises:
        UserError: when they cannot be read.
    """
    try:
        rows = list(read_csv(PAST_AUDITS, output.read(PAST_AUDITS)))
        return tuple(_parse(*row) for row in rows)
    except FileNotFoundError:
        return ()
    except (ValueError, TypeError) as error:
        raise UserError(
            "the table of audits is damaged",
            value=output.at(PAST_AUDITS),
            hint=f"restore it, or leave the run out: {error}",
        ) from error


def audit_rows(audits: Sequence[Audit]) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the copy."""
    for each in audits:
        target = "" if each.target is None else repr(each.target)
        yield *(getattr(each, name) for name in HEADER[:-2]), target, each.promise


def _parse(run: str, *values: str) -> Audit:
    from digitmill.confidence.audits import judge_audit  # imports SciPy, which most runs do not need

    counts, (target, promise) = values[:5], (*values[5:], "")[:2]
    numbers = zip(HEADER[1:-2], map(int, counts), strict=True)
    return judge_audit(run=run, target=float(target) if target else None, promise=promise, **dict(numbers))
