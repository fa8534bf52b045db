"""A job that only notes what it is asked for."""

import types
from collections.abc import Callable

from trainer.train_options import TrainOptions


def recording(asked: list[TrainOptions]) -> Callable[[TrainOptions], types.SimpleNamespace]:
    """Return a stand-in for `train_job.run` that puts options into a list and writes nothing."""

    def run(options: TrainOptions) -> types.SimpleNamespace:
        asked.append(options)
        return types.SimpleNamespace(is_complete=False)

    return run
