"""Earlier runs: finished outputs, found and put in order."""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence

from digitmill.storage import OutputFolder, open_folder
from schemas import manifest, run_plan
from schemas.errors import UserError
from schemas.manifest import Manifest
from schemas.run_plan import RunPlan


@dataclasses.dataclass(frozen=True)
class PastRun:
    """A finished run.

    Attributes:
        place: its output folder.
        manifest: what it counted.
        plan: what it was asked to do.
        digest: SHA-256 of its manifest's bytes.
    """

    place: str
    manifest: Manifest
    plan: RunPlan
    digest: str

    @property
    def began(self) -> tuple[str, str, str]:
        """What puts runs in order: when they were begun, when they were launched last, and their place."""
        times = self.manifest.times
        started = str(times.get("started"))
        return str(times.get("begun", started)), started, self.place

    @property
    def names(self) -> frozenset[str]:
        """What later runs know it by: it may have been moved since, or been scored again."""
        return frozenset((self.place, self.digest))

    @property
    def builds_on(self) -> frozenset[str]:
        """Names of the runs that vouched for what it skipped."""
        return frozenset((*self.plan.past, *self.plan.past.values()))

    @property
    def whole(self) -> bool:
        """Whether it listed all of its inputs."""
        return not any(self.plan.settings.get(name) for name in ("limit", "sample", "partial"))

    @property
    def scope(self) -> tuple[tuple[str, ...], str]:
        """What it was asked to list: of two whole runs of one scope only the later says what is there."""
        return tuple(sorted(set(self.plan.inputs))), str(self.plan.settings.get("input_list_digest") or "")


def open_run(place: str) -> PastRun | None:
    """Returns the finished run that a folder holds; None where it holds none.

    Raises:
        UserError: when its manifest or its plan cannot be read.
    """
    output = open_folder(place)
    try:
        text = output.read(manifest.FILE)
    except FileNotFoundError:
        return None
    try:
        return PastRun(
            output.place,
            Manifest.from_json(text.decode()),
            RunPlan.from_json(output.read(run_plan.FILE).decode()),
            hashlib.sha256(text).hexdigest(),
        )
    except (ValueError, FileNotFoundError) as error:
        raise UserError(
            "a finished run has a manifest and a plan of this version",
            got=output.place,
            remedy=f"score it again, or leave it out: {error}",
        ) from error


def find_runs(given: str, *, besides: OutputFolder | None = None) -> list[PastRun]:
    """Returns the finished run that a folder holds, or else those in its sub-folders, oldest first.

    A folder without a manifest did not become a run, and is passed over.

    Args:
        given: an output folder, or the folder above several.
        besides: an output that does not count. In the folder above it there need be no run yet.

    Raises:
        UserError: when there is none.
    """
    here = open_folder(given)
    places = [here.place, *(here.at(folder) for folder in sorted(here.folders()))]
    own = besides.place if besides else None
    single = open_run(given) if here.place != own else None
    runs = [single] if single else [open_run(place) for place in places[1:] if place != own]
    found = [run for run in runs if run is not None]
    if not found and (besides is None or besides.place.rpartition("/")[0] != here.place):
        raise UserError(
            "an earlier run is an output folder with a manifest, or a folder above such ones",
            got=given,
            remedy="name the output of a run that finished",
        )
    return in_order(found)


def in_order(runs: Iterable[PastRun]) -> list[PastRun]:
    """Returns runs, each once, oldest first; whatever the clocks said, none before one that it builds on."""
    waiting = sorted({run.place: run for run in runs}.values(), key=lambda run: run.began)
    ordered = []
    while waiting:
        names = {name for run in waiting for name in run.names}
        free = (run for run in waiting if not run.builds_on & names - run.names)
        ordered.append(next(free, waiting[0]))  # manifests that were edited may go round in a circle
        waiting.remove(ordered[-1])
    return ordered


def reopen(past: Mapping[str, str]) -> list[PastRun]:
    """Returns the runs that a plan names, in its order.

    Raises:
        UserError: when one has been changed or removed since.
    """
    runs = [open_run(place) for place in past]
    for run, (place, digest) in zip(runs, past.items(), strict=True):
        if run is None or run.digest != digest:
            raise UserError(
                "an earlier run stays as it was while a later one builds on it",
                got=place,
                remedy="bring it back, or score into a new output",
            )
    return [run for run in runs if run is not None]


def scored_alike(runs: Sequence[PastRun], plan: RunPlan) -> list[PastRun]:
    """Returns the runs whose answers are those that a plan would give."""
    return [run for run in runs if run.plan.scored_by == plan.scored_by]
