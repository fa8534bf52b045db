"""Opens HEIC photos where pillow-heif is installed."""

import io
from typing import TYPE_CHECKING

from schemas.failure import FailureCode, ImageError

if TYPE_CHECKING:
    from PIL import Image


def opened(data: bytes) -> "Image.Image":
    """Open a photo, or a burst of photos as frames, turned according to the container.

    Raises:
        ImageError: UNSUPPORTED without the extra `formats`.
    """
    try:
        from pillow_heif import HeifImageFile, options
    except ImportError as error:
        raise ImageError(
            FailureCode.UNSUPPORTED,
            "HEIC photo, not supported: convert it to JPEG or PNG, or install digitmill[formats]",
        ) from error
    options.DECODE_THREADS = 1
    image: Image.Image = HeifImageFile(io.BytesIO(data))
    return image
