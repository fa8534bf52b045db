"""Makes the plan of a new run from its options, or checks the options of a resumed run against its plan."""

import dataclasses
import hashlib
import sys
from collections.abc import Mapping
from typing import Any, Final

from digitmill.commands import Effect
from digitmill.engines.bundle_loader import Bundle
from digitmill.imaging.canonical import PREPROCESSING_VERSION
from digitmill.storage import OutputFolder, read_place
from digitmill.storage.names import place_from_anywhere
from pipelines.fields.run_fields import LIST_FIELDS, FieldRules
from pipelines.history.past_runs import find_runs, pages_of, sort_runs, with_same_model, without_merged
from pipelines.listing.named_images import has_fields
from pipelines.listing.relative_names import LIST_FOLDERS, list_folders, recorded_inputs
from pipelines.listing.true_labels import FOLDER
from pipelines.output import output_run
from pipelines.score_options import ScoreOptions
from schemas.errors import UserError
from schemas.manifest import Manifest
from schemas.run_plan import RunPlan

_LATER: Final = frozenset({"audit", "carry", "format", "probabilities", LIST_FIELDS, LIST_FOLDERS})
"""Settings that plans of earlier versions do not have."""


def make_plan(
    options: ScoreOptions,
    bundle: Bundle,
    challenger: Bundle | None = None,
    *,
    begun: RunPlan | None,
    output: OutputFolder,
) -> RunPlan:
    """Return the plan of a run; a resumed run keeps the plan that it has `begun` with.

    Raises:
        UserError: when the options differ from the plan of the resumed run, or `--since` names no earlier
            run.
    """
    plan = RunPlan(
        inputs=recorded_inputs(options.inputs),
        model=bundle.digest,
        preprocessing=PREPROCESSING_VERSION,
        settings=_without_unused(
            {
                **options.recorded(Effect.RESULT),
                "accept_threshold": accept_threshold(options, bundle),
                "engine": str(bundle.engine.kind),
                "challenger": challenger.digest if challenger else None,
                "input_list_digest": _digest_of(options.input_list),
                "labels_digest": _digest_of(None if options.labels == FOLDER else options.labels),
                LIST_FIELDS: bool(options.input_list and has_fields(options.input_list)),
                LIST_FOLDERS: list_folders(options.input_list),
            }
        ),
        past={},
    )
    if begun is not None:
        # A plan of an earlier version lacks newer flags, which then had their default effect, except
        # --pages. It also names inputs by their links.
        filled = _without_unused(
            {**options.defaults(Effect.RESULT), "pages": pages_of(begun), **begun.settings}
        )
        inputs = tuple(map(place_from_anywhere, begun.inputs))
        output_run.check_same_plan(dataclasses.replace(begun, settings=filled, inputs=inputs), plan, output)
        return begun
    runs = find_runs(options.since, exclude=output) if options.since else []
    if options.state:
        runs = sort_runs([*runs, *find_runs(options.state, exclude=output, may_be_empty=True)])
    used = with_same_model(runs, plan)
    if len(used) < len(runs):
        print(
            f"--since: {len(runs) - len(used):,} of {len(runs):,} earlier runs are not used: their model, "
            "preprocessing or --pages is another one",
            file=sys.stderr,
            flush=True,
        )
    return dataclasses.replace(plan, past={run.place: run.digest for run in without_merged(used)})


def _without_unused(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Drop newer settings that are unused, so that the digests of existing runs do not change."""
    return {name: value for name, value in settings.items() if value or name not in _LATER}


def field_rules(options: ScoreOptions, plan: RunPlan) -> FieldRules | None:
    """Return the rules that group a run's images into fields; None for a run without fields.

    Raises:
        UserError: when the pattern or the check of fields is invalid.
    """
    threshold = float(plan.settings["accept_threshold"] or 0)
    settings = {**plan.settings, **options.recorded(Effect.REPORT)}
    rules = FieldRules.of(settings, plan.inputs, threshold=threshold)
    if rules is None and options.field_check:
        raise UserError(
            "--field-check needs fields",
            value=options.field_check,
            hint="define fields by --field, or by columns field and position of the --input-list",
        )
    return rules


def check_same_reports(options: ScoreOptions, finished: Manifest, output: OutputFolder) -> None:
    """Raise UserError when a finished run is resumed with other options of its reports.

    Its manifest exists already and has the digest of each report.
    """
    here = options.recorded(Effect.REPORT)
    # A manifest of an earlier version lacks newer flags.
    there = {**options.defaults(Effect.REPORT), **finished.options}
    differences = [
        f"{name} was {there[name]!r} and is now {value!r}"
        for name, value in here.items()
        if value != there[name]
    ]
    if differences:
        raise UserError(
            f"the run is finished, with other options ({'; '.join(differences)})",
            value=output.place,
            hint="give the options of the first start, or score into a new output",
        )


def accept_threshold(options: ScoreOptions, bundle: Bundle) -> float:
    """Return the minimum confidence of a run's accepted predictions."""
    return bundle.card.accept_threshold if options.accept_threshold is None else options.accept_threshold


def _digest_of(place: str | None) -> str | None:
    """Return a file's SHA-256; None without a file, or if it cannot be read, which its user reports."""
    try:
        return hashlib.sha256(read_place(place)).hexdigest() if place else None
    except (OSError, UserError):
        return None
