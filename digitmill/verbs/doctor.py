"""`digitmill doctor`: checks what a machine has for training and scoring, and says what to fix."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from cloup import OptionGroup

from digitmill.commands import answer, argument, option, verb
from digitmill.commands.parameter_types import FOLDER
from digitmill.default_model import SHIPPED_MODEL
from schemas.errors import ExitCode

if TYPE_CHECKING:
    from digitmill.verbs.doctor_checks import Check

_CHECKS = OptionGroup("What is checked")
_COLORS = {"ok": "green", "note": "yellow", "fault": "red"}


@verb()
@argument("places", nargs=-1, type=FOLDER, metavar="[PLACE]...")
@option(
    "--model",
    type=FOLDER,
    metavar="BUNDLE",
    default=str(SHIPPED_MODEL),
    help="Bundle that scores a few digits.  [default: the one that comes with digitmill]",
    group=_CHECKS,
)
@option("--write", is_flag=True, help="Also write a small file to each PLACE, and delete it.", group=_CHECKS)
def doctor(places: tuple[str, ...], *, model: str, write: bool) -> ExitCode:
    """Check versions, GPUs, disk, credentials, runners and each PLACE, and score a few digits.

    PLACE is a folder or bucket to read from or, with --write, to write to. Each line that is not ok
    says what to do. With a fault, the exit code is 1. A note is about
    something that only some jobs need.

    \b
    Examples:
      digitmill doctor
      digitmill doctor gs://bucket/scans
      digitmill doctor --write gs://bucket/nights --json
    """
    from digitmill.verbs import doctor_checks

    found = []
    for check in doctor_checks.run_checks(places, model=model, write=write):
        found.append(check)
        click.echo("\n".join(_lines(check)))
    answer(None, [dataclasses.asdict(check) for check in found])
    return ExitCode.CRASHED if any(check.state == doctor_checks.FAULT for check in found) else ExitCode.OK


def _lines(check: "Check") -> Iterator[str]:
    yield f"{click.style(f'{check.state:<5}', fg=_COLORS[check.state])}  {check.name:<11}  {check.found}"
    if check.remedy:
        yield f"{'':<20}to do: {check.remedy}"
