"""Converts file bytes to canonical digits; the same code for training and scoring.

`batch.decode_batch` takes many images and `decode.decode` one file; `page_reading` returns a file's pages;
`canonical.canonicalize` takes pixels, and `held_pictures` the arrays and PIL images of Python code.
"""

import os

from digitmill.imaging.limits import MAX_PIXELS, OPENCV_MAX_PIXELS

# A second fence behind the sizes in headers. OpenCV reads it once, when it is imported.
os.environ.setdefault(OPENCV_MAX_PIXELS, str(MAX_PIXELS))

__all__ = [
    "batch",
    "canonical",
    "gray",
    "guard",
    "held_pictures",
    "native",
    "page_reading",
]
