"""Training data: reads, splits, caches and shares out labeled digits.

`sources` has one module per kind of `--data` source; `reading` is what they have in common, `splits` what
they return, and `stream` what they return while images are still decoded.
"""

__all__ = [
    "reading",
    "rejects",
    "splits",
    "stream",
]
