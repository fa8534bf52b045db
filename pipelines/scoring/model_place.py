"""The models of a run: opened where the user has them, and staged in the output for workers elsewhere."""

import dataclasses

from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine_choice import CPU_KINDS, EngineKind
from digitmill.engines.engine_timing import FASTEST, fastest
from digitmill.storage import OutputFolder
from pipelines.score_options import ScoreOptions
from schemas.layout import staged_model
from schemas.run_plan import RunPlan


def open_bundles(
    options: ScoreOptions, *, begun: RunPlan | None = None, compare: bool = False
) -> tuple[Bundle, Bundle | None]:
    """Return the checked bundles of a run's model and challenger; None without one.

    Args:
        options: of the run.
        begun: the plan that it has begun with; a resumed run keeps its engine, and so gives the same bytes.
        compare: whether `auto` takes the model's fastest engine on this machine, which takes half a second.

    Raises:
        UserError: when one is missing, damaged, or has no model for the engine.
    """
    challenger = open_bundle(options.challenger, options.engine) if options.challenger else None
    if options.engine != EngineKind.AUTO:
        return open_bundle(options.model, options.engine), challenger
    opened = open_bundle(options.model)
    if begun is None:
        return fastest(opened) if compare else opened, challenger
    kept = begun.settings.get("engine")
    if kept in CPU_KINDS and kept != opened.engine.kind:
        other = open_bundle(options.model, str(kept))
        opened = dataclasses.replace(other, engine=dataclasses.replace(other.engine, reason=FASTEST))
    return opened, challenger


def stage_bundle(bundle: Bundle, output: OutputFolder) -> Bundle:
    """Write the files that a bundle's engine reads into an output, once; return the bundle there.

    Workers of another machine have neither the launcher's files nor, maybe, the right to read a user's bucket
    of models; the output they can reach. What they load is compared with the digests in the card, which
    travels with their task.
    """
    for name in bundle.engine_files:
        output.write_once(staged_model(bundle.digest, name), bundle.read(name))
    return dataclasses.replace(bundle, place=output.at(staged_model(bundle.digest)))
