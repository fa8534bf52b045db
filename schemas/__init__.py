"""The contracts between training, scoring and the readers of their files: plain data, no I/O.

Frozen dataclasses that check themselves: prediction row, failure, manifest, plan, packed image, and in
`schemas.model` the bundle and its card. `python -m schemas` writes the same row schemas for other tools
into `schemas/generated/`.
"""

__all__ = [
    "columns",
    "digit",
    "errors",
    "failure",
    "labels",
    "layout",
    "manifest",
    "packed",
    "prediction",
    "run_plan",
    "versioned",
]
