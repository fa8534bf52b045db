"""Starts a scoring run, for the command and for Python: early checks, worker processes, then the job."""

import importlib
from typing import TYPE_CHECKING

from pipelines.score_options import ScoreOptions

if TYPE_CHECKING:
    from pipelines.output.summary import Summary


def run_score(options: ScoreOptions, *, one_command: bool) -> "Summary":
    """Score the inputs and write predictions, reports and, last, the manifest.

    Args:
        options: of the run.
        one_command: whether the process does nothing else. Then Beam is imported without what the run has no
            need of, and stays without it.

    Raises:
        UserError: when an option or input cannot be used; nothing is written then.
        StoppedError: when the run was stopped or its storage failed; it can be resumed.
        UnreconciledError: when a listed image has no outcome; there is no manifest then.
    """
    from pipelines.score.early_checks import check_early

    # First: a typo need not wait for what a run imports.
    check_early(options, begins=True)
    from pipelines.output.signing import Signer
    from pipelines.runners.local_beam import import_beam, plain_pipelines
    from pipelines.workers.choice import early_pool

    # Before the workers, which would inherit its pass phrase.
    signer = Signer.load(options.sign)
    with early_pool(options) as pool:
        # After the workers: they get ready while this process imports Beam.
        if one_command:
            import_beam(options.beam_flags)
        else:
            importlib.import_module("apache_beam")
        from pipelines.score import score_job

        with plain_pipelines():
            return score_job.run(options, pool, signer=signer)
