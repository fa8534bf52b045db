"""Makes the plan of a run from its options, or takes up the one that was begun."""

import dataclasses
import hashlib
import pathlib

from digitmill.engines.bundle_loader import Bundle
from digitmill.imaging.canonical import PREPROCESSING_VERSION
from digitmill.storage import OutputFolder
from digitmill.storage.names import place_from_anywhere, printable
from pipelines.history.past_runs import find_runs, scored_alike
from pipelines.listing.true_labels import FOLDER
from pipelines.output import output_run
from pipelines.score_options import ScoreOptions
from schemas.run_plan import RunPlan


def make_plan(
    options: ScoreOptions,
    bundle: Bundle,
    challenger: Bundle | None = None,
    *,
    begun: RunPlan | None,
    output: OutputFolder,
) -> RunPlan:
    """Returns the plan of a run, the one that was begun if there is one.

    Raises:
        UserError: when the run that was begun was asked to do something else, or there is no earlier run.
    """
    plan = RunPlan(
        inputs=tuple(printable(place_from_anywhere(given)) for given in options.inputs),
        model=bundle.digest,
        preprocessing=PREPROCESSING_VERSION,
        settings={
            "accept_threshold": accept_threshold(options, bundle),
            "engine": str(bundle.engine.kind),
            "challenger": challenger.digest if challenger else None,
            "input_list": printable(str(options.input_list)) if options.input_list else None,
            "input_list_digest": _digest_of(options.input_list),
            "labels": options.labels and printable(options.labels),
            "labels_digest": _digest_of(None if options.labels == FOLDER else options.labels),
            "since": options.since and printable(options.since),
            "retry_failures": options.retry_failures,
            "limit": options.limit,
            "sample": options.sample,
            "rows_per_part": options.rows_per_part,
            "compression": str(options.compression),
        },
        past={},
    )
    if begun is not None:
        output_run.check_same(begun, plan, output)
        return begun
    runs = find_runs(options.since, besides=output) if options.since else []
    return dataclasses.replace(plan, past={run.place: run.digest for run in scored_alike(runs, plan)})


def accept_threshold(options: ScoreOptions, bundle: Bundle) -> float:
    """Returns the confidence from which a run accepts a prediction."""
    return bundle.card.accept_threshold if options.accept_threshold is None else options.accept_threshold


def _digest_of(path: str | pathlib.Path | None) -> str | None:
    """Returns a file's SHA-256; None without a file, and for one whose reading will say what is wrong."""
    try:
        return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() if path else None
    except OSError:
        return None
