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

DECODE_SECONDS: Final = 10.0
"""Time limit of the guarded decoder for one image, seconds; 16 megapixels take less than one."""

DECODER_MEMORY: Final = 2**30
"""Address space that the guarded decoder may take beyond what it has after its start, bytes: five times the
largest picture."""
