"""The models of a run: opened where the user has them, and staged in the output for workers elsewhere."""

import dataclasses

from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.storage import OutputFolder
from pipelines.score_options import ScoreOptions
from schemas.layout import staged_model


def open_bundles(options: ScoreOptions) -> tuple[Bundle, Bundle | None]:
    """Return the checked bundles of a run's model and challenger; None without one.

    Raises:
        UserError: when one is missing, damaged, or has no model for the engine.
    """
    challenger = open_bundle(options.challenger, options.engine) if options.challenger else None
    return open_bundle(options.model, options.engine), challenger


def stage_bundle(bundle: Bundle, output: OutputFolder) -> Bundle:
    """Write the files that a bundle's engine reads into an output, once; return the bundle there.

    Workers of another machine have neither the launcher's files nor, maybe, the right to read a user's bucket
    of models; the output they can reach. What they load is compared with the digests in the card, which
    travels with their task.
    """
    for name in bundle.engine_files:
        output.write_once(staged_model(bundle.digest, name), bundle.read(name))
    return dataclasses.replace(bundle, place=output.at(staged_model(bundle.digest)))
