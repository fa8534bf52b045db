"""The training jobs: train a network or an ensemble, write bundle and report, evaluate a bundle.

`train_job` checks what it can before TensorFlow is loaded, `training` trains one network, `ensemble`
several, and `finalization` evaluates, calibrates and exports.
"""

__all__ = [
    "calibrate_job",
    "calibrate_options",
    "evaluate_job",
    "evaluate_options",
    "hypertune",
    "train_job",
    "training",
]
