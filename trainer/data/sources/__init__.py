"""Sources of labeled digits: one module per kind of `--data`, and `source_specs`, which opens them.

A source returns the splits of `trainer.data.splits`, whatever it reads.
"""

__all__ = [
    "credits",
    "embedded_sample",
    "source_specs",
]
