"""Chooses the decoder of a file; each is imported when the first file needs it."""

from digitmill.imaging.decode import decode_here
from digitmill.imaging.decoders.pages import OnePage, Pages
from digitmill.imaging.headers.image_kinds import Header, Kind


def open_pages(data: bytes, header: Header) -> Pages:
    """Return the pages of a file without decoding them.

    Raises:
        ImageError: UNSUPPORTED, TOO_LARGE, or CORRUPT if the pages cannot even be counted.
    """
    kind = header.kind
    if kind is Kind.JPEG or (kind is Kind.PNG and not header.animated):
        return OnePage(lambda: decode_here(data, header))
    if kind in (Kind.PNG, Kind.GIF):
        from digitmill.imaging.decoders import animation_pages

        return (
            animation_pages.png_pages(data, header) if kind is Kind.PNG else animation_pages.gif_pages(data)
        )
    if kind is Kind.TIFF:
        from digitmill.imaging.decoders.tiff_pages import TiffPages

        return TiffPages(data)
    if kind is Kind.PDF:
        from digitmill.imaging.decoders.pdf_pages import PdfPages

        return PdfPages(data)
    if kind is Kind.PNM:
        from digitmill.imaging.decoders.pnm_pages import PnmPages

        return PnmPages(data)
    from digitmill.imaging.decoders.pillow_pages import PillowPages

    return PillowPages(data, header)
