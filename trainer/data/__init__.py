"""Training data: reads, splits, caches and shares out labeled digits.

`sources` has one module per kind of `--data` source. `reading` has their shared code, `splits` the type that
they return, and `stream` the type for images that are still being decoded.
"""

__all__ = [
    "reading",
    "rejects",
    "splits",
    "stream",
]
