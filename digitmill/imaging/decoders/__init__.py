"""Decodes all image files but plain PNG and JPEG, page by page, with decoders that report errors.

Only the decoder process uses it, because Pillow, tifffile and imagecodecs would cost scoring workers memory
and time. They are imported when the first file needs them. `open_pages` is the entry point for files;
`pillow_pages` also takes pictures opened by Python code.
"""

from digitmill.imaging.decoders.opening import open_pages
from digitmill.imaging.decoders.pages import Pages

__all__ = ["Pages", "open_pages", "pillow_pages"]
