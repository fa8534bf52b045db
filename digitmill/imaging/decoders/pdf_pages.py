"""Pages of a PDF, rendered at 200 dots per inch."""

import math
from typing import Final

import numpy as np

from digitmill.imaging.decoders.pages import check_count, check_size, reported
from digitmill.imaging.headers.image_kinds import Kind
from digitmill.imaging.limits import MAX_PIXELS
from schemas.failure import FailureCode, ImageError

DOTS_PER_INCH: Final = 200
"""What office scanners use; larger pages are rendered with as many pixels as are allowed."""

_POINTS_PER_INCH: Final = 72


class PdfPages:
    """The pages of a PDF."""

    def __init__(self, data: bytes) -> None:
        """Open a document.

        Raises:
            ImageError: UNSUPPORTED without the extra `formats` and with a password; TOO_LARGE or CORRUPT.
        """
        try:
            import pypdfium2
        except ImportError as error:
            raise ImageError(
                FailureCode.UNSUPPORTED,
                "PDF document, not supported: convert its pages to PNG, or install digitmill[formats]",
            ) from error
        with reported(Kind.PDF):
            try:
                self._document = pypdfium2.PdfDocument(data)
            except pypdfium2.PdfiumError as error:
                if "password" in str(error).lower():
                    raise ImageError(
                        FailureCode.UNSUPPORTED, "PDF with a password, not supported: save it without one"
                    ) from error
                raise
        self.count = check_count(Kind.PDF, len(self._document))

    def pixels(self, number: int) -> np.ndarray:
        """Return a page; see `Pages`."""
        with reported(Kind.PDF):
            page = self._document[number]
            try:
                width, height = page.get_size()
                if not 0 < width * height < math.inf:
                    raise ImageError(FailureCode.CORRUPT, f"a PDF page of {width:g} x {height:g} points")
                # Pdfium rounds sizes up: but for the millionth, a scan of 200 dpi would grow by a pixel.
                scale = min(
                    DOTS_PER_INCH / _POINTS_PER_INCH * (1 - 1e-6),
                    math.sqrt(MAX_PIXELS / (width * height)) * 0.999,
                )
                check_size(Kind.PDF, math.ceil(width * scale), math.ceil(height * scale))
                return page.render(scale=scale).to_numpy()[..., :3].copy()
            finally:
                page.close()
