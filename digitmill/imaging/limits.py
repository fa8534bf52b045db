"""How large an image may be, and how much time and memory its decoder may take."""

from typing import Final

MAX_PIXELS: Final = 4096 * 4096
"""Larger pictures are rejected undecoded: a file of 389 KB can hold 400 megapixels."""

OPENCV_MAX_PIXELS: Final = "OPENCV_IO_MAX_IMAGE_PIXELS"
"""Environment variable by which OpenCV refuses larger pictures before it allocates their pixels."""

PLAIN_BYTES: Final = 4 * 2**20
"""Larger files are decoded under guard, bytes."""

PLAIN_PIXELS: Final = 2**21
"""Larger pictures are decoded under guard: these take 17 MB at most, at 4 x 16 bits a pixel."""

DECODE_SECONDS: Final = 30.0
"""Processor time that the guarded decoder may take for a page, seconds: 16 megapixels of JPEG 2000 take five,
of all others less than one."""

FILE_SECONDS: Final = 600.0
"""Processor time for all pages of a file, seconds; those that are left then fail, so that a file of thousands
of large frames does not hold up a worker for hours."""

STALL_SECONDS: Final = 60
"""Seconds that the guarded decoder may do nothing before it is restarted: it sleeps, and is not stopped."""

DECODER_MEMORY: Final = 2**30
"""Address space that the guarded decoder may take for a file, beyond what it has before, bytes: no picture of
`MAX_PIXELS` takes half of it, so that none fails for what came before it."""

DECODER_GROWTH: Final = 2**28
"""Address space by which the guarded decoder may grow from file to file until it is restarted, bytes."""

MAX_PAGES: Final = 10_000
"""Pages or frames that are read of a file."""
