"""Hyperparameter search: a recipe's search space, trials that are pruned early, a study on disk.

`tune_job` runs the trials, `study` shares them among processes and machines, and a search that was stopped
goes on where it was.
"""

__all__ = [
    "tune_job",
    "tune_options",
]
