"""The training report: its record in the run folder, its page, and the comparison of several runs.

Only `measuring`, which the training job calls, imports TensorFlow.
"""

__all__ = [
    "measuring",
    "record",
    "writing",
]
