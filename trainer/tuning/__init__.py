"""Hyperparameter search: a recipe's search space, trials that are pruned early, a study on disk.

`tune_job` runs the trials, `study` shares them among processes and machines. A stopped search can be resumed.
"""

__all__ = [
    "tune_job",
    "tune_options",
]
