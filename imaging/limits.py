"""How large an image may be: for all, and for those that are decoded without a guard."""

from typing import Final

MAX_BYTES: Final = 32 * 2**20
"""Larger files are rejected unread by the decoder, bytes."""

MAX_PIXELS: Final = 4096 * 4096
"""Larger pictures are rejected undecoded: a file of 389 KB can hold 400 megapixels."""

PLAIN_BYTES: Final = 4 * 2**20
"""Larger files are decoded under guard, bytes."""

PLAIN_PIXELS: Final = 2**21
"""Larger pictures are decoded under guard: these take 17 MB at most, at 4 x 16 bits a pixel."""
