"""Reports each epoch's validation accuracy to Vertex AI's hyperparameter tuning."""

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from trainer.run.history import Epoch

METRIC: Final = "val_accuracy"
"""Name of the metric in the study's specification."""

TRIAL: Final = "CLOUD_ML_TRIAL_ID"
"""Environment variable with which Vertex AI gives a process its trial."""


def report_epochs(epochs: Iterable[Epoch], *, chief: bool) -> Iterator[Epoch]:
    """Yield epochs; report each first if this process is the chief of a trial."""
    reporter = _reporter() if chief and os.environ.get(TRIAL) else None
    for epoch in epochs:
        if reporter is not None and epoch.val_accuracy is not None:
            reporter.report_hyperparameter_tuning_metric(METRIC, epoch.val_accuracy, epoch.epoch)
        yield epoch


def _reporter() -> Any:
    try:
        from hypertune import HyperTune
    except ImportError:
        print("warning: the trial reports nothing: pip install 'digitmill[tune]'", file=sys.stderr)
        return None
    return HyperTune()
