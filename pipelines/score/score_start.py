"""Starts a scoring run, for the command and for Python: early checks, worker processes, then the job."""

import contextlib
import gc
import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.score_options import ScoreOptions

if TYPE_CHECKING:
    from pipelines.output.summary import Summary


def run_score(options: ScoreOptions, *, one_command: bool) -> "Summary":
    """Score the inputs and write predictions, reports and, last, the manifest.

    Args:
        options: the run's options.
        one_command: whether the process does nothing else. If so, the parts of Beam that the run does not
            need are not imported, and cannot be imported later.

    Raises:
        UserError: when an option or input cannot be used; nothing is written then.
        StoppedError: when the run was stopped or its storage failed; it can be resumed.
        UnreconciledError: when a listed image has no outcome; no manifest is written then.
    """
    from pipelines.score.early_checks import check_early

    # First, so that a typo is reported before slow imports.
    check_early(options, begins=True)
    importing = _without_collections if one_command else contextlib.nullcontext
    with importing():
        from pipelines.output.signing import Signer
        from pipelines.runners.local_beam import import_beam, plain_pipelines
        from pipelines.workers.choice import early_pool

    # Load the key before starting workers, which would inherit its pass phrase.
    signer = Signer.load(options.sign)
    with early_pool(options) as pool:
        # Import Beam after starting the workers, which get ready in the meantime.
        with importing():
            if one_command:
                import_beam(options.beam_flags)
            else:
                importlib.import_module("apache_beam")
            from pipelines.score import score_job

        with plain_pipelines():
            return score_job.run(options, pool, signer=signer)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Context manager in which modules are imported without looking for garbage among them, then or later.

    That takes a tenth of the time of a short run.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
