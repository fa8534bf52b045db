"""Decodes all image files but plain PNG and JPEG, page by page, by decoders that report errors.

Runs in the decoder process only: Pillow, tifffile and imagecodecs cost a scoring worker memory and time. They
are imported when the first file needs them. `open_pages` is the one entrance for files; `pillow_pages` also
takes the pictures that Python code has opened.
"""

from digitmill.imaging.decoders.opening import open_pages
from digitmill.imaging.decoders.pages import Pages

__all__ = ["Pages", "open_pages", "pillow_pages"]
