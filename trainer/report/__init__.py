"""The training report: the record a run keeps for it, its page, and the comparison of several runs.

Only `measuring`, which the training job calls, imports TensorFlow.
"""

__all__ = [
    "measuring",
    "record",
    "writing",
]
