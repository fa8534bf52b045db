"""State of an output folder: empty, begun, or finished. A run begins once, may resume, and finishes once."""

import dataclasses

from digitmill.commands import run_config
from digitmill.storage import OutputFolder
from digitmill.storage.interface import refuse_used
from pipelines.listing.relative_names import RelativeNames
from schemas import manifest, run_plan
from schemas.errors import UserError
from schemas.layout import LISTING, PREDICTIONS, STATISTICS
from schemas.manifest import Manifest
from schemas.run_plan import RunPlan


@dataclasses.dataclass(frozen=True)
class OutputState:
    """State of an output folder: the plan once a run has begun, the manifest once it is finished."""

    plan: RunPlan | None
    finished: Manifest | None


def read_state(output: OutputFolder, *, resume: bool) -> OutputState:
    """Return the state of an output without changing it; `resume` allows it to hold a run.

    Raises:
        UserError: when it holds other files, or a run and `resume` is false.
    """
    if not has_begun(output, run_plan.FILE, resume=resume):
        return OutputState(None, None)
    try:
        plan = RunPlan.from_json(output.read(run_plan.FILE).decode())
        finished = output.exists(manifest.FILE)
        done = Manifest.from_json(output.read(manifest.FILE).decode()) if finished else None
    except ValueError as error:
        raise UserError(
            "cannot resume a run of another version",
            value=output.place,
            hint=f"score into a new output: {error}",
        ) from error
    return OutputState(plan, done)


def has_begun(output: OutputFolder, first: str, *, resume: bool) -> bool:
    """Whether a run has begun in an output: whether its `first` file exists.

    Raises:
        UserError: when the output holds other files, or a run and `resume` is false.
    """
    if not output.exists(first):
        try:
            output.check(manifest.FILE)
            return False
        except UserError:
            # Unless another launcher has begun a run here meanwhile.
            if not output.exists(first):
                raise
    if not resume:
        refuse_used(output.place, finished=output.exists(manifest.FILE), used=False)
        raise UserError(
            "the output already holds an unfinished run",
            value=output.place,
            hint="resume it by --resume, or name a new folder",
        )
    return True


def check_same_plan(there: RunPlan, here: RunPlan, output: OutputFolder) -> None:
    """Raise UserError when the options of a resumed run differ from its original ones."""
    differences = list(there.differences(here))
    if differences:
        raise UserError(
            f"cannot resume with other options ({'; '.join(differences)})",
            value=output.place,
            hint="give the options of the first start, or name a new folder",
        )


def relative_names(output: OutputFolder) -> RelativeNames:
    """Return the naming of a begun run's images relative to its inputs."""
    if not output.exists(run_plan.FILE):
        return RelativeNames()
    plan = RunPlan.from_json(output.read(run_plan.FILE).decode())
    return RelativeNames.of(plan.inputs, plan.settings)


def remove_started_run(output: OutputFolder) -> None:
    """Remove the files of a run whose inputs could not be listed completely."""
    # Statistics first: if this is interrupted, no record may refer to a deleted file.
    for folder in (STATISTICS, PREDICTIONS, LISTING):
        for name in output.names(folder):
            output.delete(f"{folder}/{name}")
    output.delete(run_config.FILE)
    output.delete(run_plan.FILE)
