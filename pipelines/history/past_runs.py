"""Earlier runs: finds finished outputs and sorts them by age."""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.names import place_from_anywhere
from schemas import manifest, run_plan
from schemas.errors import UserError
from schemas.manifest import Manifest
from schemas.prediction import Pages
from schemas.run_plan import RunPlan

MERGED: Final = "merged"
"""Setting of a merged state: digests of the runs in it."""

SEVERAL_THRESHOLDS: Final = "several_thresholds"
"""Setting of a merge of runs that decided their rows by different accept thresholds."""

NEWEST: Final = "newest"
"""Setting of a merged state: location of its newest run."""


@dataclasses.dataclass(frozen=True)
class PastRun:
    """A finished run.

    Attributes:
        digest: SHA-256 of the manifest's bytes.
    """

    place: str
    manifest: Manifest
    plan: RunPlan
    digest: str

    @property
    def began(self) -> tuple[str, str, str]:
        """Sort key: when the run began, when it was last launched, and its location."""
        times = self.manifest.times
        started = str(times.get("started"))
        return str(times.get("begun", started)), started, self.place

    @property
    def names(self) -> frozenset[str]:
        """Identifiers by which later runs refer to this run, even if it was moved."""
        return frozenset((self.place, self.digest))

    @property
    def builds_on(self) -> frozenset[str]:
        """Identifiers of the runs that cover the images this run skipped."""
        return frozenset((*self.plan.past, *self.plan.past.values()))

    @property
    def merged(self) -> frozenset[str]:
        """Digests of the runs that `compact` merged into this one, directly or indirectly."""
        return frozenset(str(self.plan.settings.get(MERGED) or "").split())

    @property
    def whole(self) -> bool:
        """Whether the run listed all of its inputs."""
        return not any(self.plan.settings.get(name) for name in ("limit", "sample", "partial"))

    @property
    def scope(self) -> tuple[tuple[str, ...], str]:
        """The run's inputs. Of two complete runs with the same scope, the later one supersedes the other."""
        # Plans of earlier versions name inputs by their links.
        return tuple(sorted(set(map(place_from_anywhere, self.plan.inputs)))), str(
            self.plan.settings.get("input_list_digest") or ""
        )


def open_finished_run(place: str, *, problem: str = "not a finished run", hint: str) -> PastRun:
    """Return the finished run in a folder.

    Raises:
        UserError: with `problem` and `hint`, when there is no finished run; or as in `open_run`.
    """
    run = open_run(place)
    if run is None:
        raise UserError(f"{problem}, {manifest.FILE} is missing", value=place, hint=hint)
    return run


def open_run(place: str) -> PastRun | None:
    """Return the finished run in a folder; None if there is none.

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
            "the manifest or the plan is missing, damaged or of another version",
            value=output.place,
            hint=f"score it again, or leave it out: {error}",
        ) from error


def find_runs(
    given: str, *, exclude: OutputFolder | None = None, may_be_empty: bool = False
) -> list[PastRun]:
    """Return the finished run in a folder, or the runs in its sub-folders, oldest first.

    Ignores folders without a manifest, and `exclude`.

    Raises:
        UserError: when there is no finished run, unless `may_be_empty`.
    """
    here = open_folder(given)
    places = [here.place, *(here.at(folder) for folder in sorted(here.folders()))]
    own = exclude.place if exclude else None
    single = open_run(given) if here.place != own else None
    runs = [single] if single else [open_run(place) for place in places[1:] if place != own]
    found = [run for run in runs if run is not None]
    begins = exclude is not None and exclude.place.rpartition("/")[0] == here.place
    if not found and not begins and not may_be_empty:
        raise UserError(
            "no finished run in this folder or below it",
            value=given,
            hint="name the output of a finished run, or its parent folder",
        )
    return sort_runs(found)


def sort_runs(runs: Iterable[PastRun]) -> list[PastRun]:
    """Return runs without duplicates, oldest first; each comes after the runs that it builds on."""
    waiting = sorted({run.place: run for run in runs}.values(), key=lambda run: run.began)
    ordered = []
    while waiting:
        names = {name for run in waiting for name in run.names}
        free = (run for run in waiting if not run.builds_on & names - run.names)
        ordered.append(next(free, waiting[0]))  # edited manifests may form a cycle
        waiting.remove(ordered[-1])
    return ordered


def without_merged(runs: Sequence[PastRun], *, same_scope: bool = False) -> list[PastRun]:
    """Drop the runs that are merged into another one, which has their outcomes.

    With `same_scope`, keep merged runs over other inputs than the merged state's: they determine which images
    exist there.
    """
    return [
        run
        for run in runs
        if not any(
            run.digest in state.merged and not (same_scope and run.scope != state.scope) for state in runs
        )
    ]


def open_past_runs(past: Mapping[str, str]) -> list[PastRun]:
    """Open the earlier runs of a plan, given as manifest digests by location, in the same order.

    Raises:
        UserError: when a run has been changed or removed since.
    """
    runs = [open_run(place) for place in past]
    for run, (place, digest) in zip(runs, past.items(), strict=True):
        if run is None or run.digest != digest:
            raise UserError(
                "the earlier run that this one builds on was changed or removed",
                value=place,
                hint="restore it, or score into a new output",
            )
    return [run for run in runs if run is not None]


def with_same_model(runs: Sequence[PastRun], plan: RunPlan) -> list[PastRun]:
    """Return the runs with the same model, preprocessing and pages as a plan, and thus the same rows."""
    wanted = plan.model_version, pages_of(plan)
    return [run for run in runs if (run.plan.model_version, pages_of(run.plan)) == wanted]


def pages_of(plan: RunPlan) -> str:
    """Return which pages of a file a run scored; earlier versions scored only the first page."""
    return str(plan.settings.get("pages", Pages.FIRST))
