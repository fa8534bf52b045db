"""One run's hold on its output: begun once, gone on with as often as need be, finished once."""

import dataclasses

from digitmill.commands import run_config
from digitmill.storage import OutputFolder
from digitmill.storage.interface import refuse_used
from pipelines.listing.frozen_listing import LISTING
from pipelines.scoring.parts import PREDICTIONS
from schemas import manifest, run_plan
from schemas.errors import UserError
from schemas.layout import STATISTICS
from schemas.manifest import Manifest
from schemas.run_plan import RunPlan


@dataclasses.dataclass(frozen=True)
class Standing:
    """How far an output is.

    Attributes:
        plan: of the run that was begun in it; None where there is none yet.
        finished: its manifest; None where it is not finished.
    """

    plan: RunPlan | None
    finished: Manifest | None


def look(output: OutputFolder, *, resume: bool) -> Standing:
    """Returns how far an output is, without changing it.

    Args:
        output: the folder.
        resume: whether a run that was begun may be gone on with.

    Raises:
        UserError: when it holds a run that is not to be gone on with, or anything else.
    """
    if not output.exists(run_plan.FILE):
        output.check(manifest.FILE)
        return Standing(None, None)
    finished = output.exists(manifest.FILE)
    if not resume:
        if finished:
            refuse_used(output.place, finished=True, used=True)
        raise UserError(
            "an output folder holds one run",
            got=output.place,
            remedy="go on with the one that was begun there by --resume, or name a new folder",
        )
    try:
        plan = RunPlan.from_json(output.read(run_plan.FILE).decode())
        done = Manifest.from_json(output.read(manifest.FILE).decode()) if finished else None
    except ValueError as error:
        raise UserError(
            "the run was begun by this version", got=output.place, remedy=f"score into a new output: {error}"
        ) from error
    return Standing(plan, done)


def check_same(there: RunPlan, here: RunPlan, output: OutputFolder) -> None:
    """Raises UserError when a run would be gone on with in another way than it was begun."""
    differences = list(there.differences(here))
    if differences:
        raise UserError(
            "a run is gone on with as it was begun",
            got=output.place,
            remedy=f"name a new folder, or give what was given then: {'; '.join(differences)}",
        )


def undo(output: OutputFolder) -> None:
    """Takes back the beginning of a run whose inputs could not be listed to their end."""
    # Records first: where this is cut off, none may name what is gone.
    for folder in (STATISTICS, PREDICTIONS, LISTING):
        for name in output.names(folder):
            output.delete(f"{folder}/{name}")
    output.delete(run_config.FILE)
    output.delete(run_plan.FILE)
