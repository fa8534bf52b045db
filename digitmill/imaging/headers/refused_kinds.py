"""Recognises kinds of files that are not decoded, to name them and say what to do."""

from typing import Final

_CONVERT: Final = "convert it to PNG"

_MAGIC: Final[tuple[tuple[int, bytes, str, str], ...]] = (
    (0, b"\xff\x0a", "JPEG XL picture", _CONVERT),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL picture", _CONVERT),
    (0, b"8BPS", "Photoshop file", "export it as PNG"),
    (0, b"8BPB", "Photoshop file", "export it as PNG"),
    (0, b"gimp xcf", "GIMP file", "export it as PNG"),
    (0, b"\0\0\1\0", "ICO icon", _CONVERT),
    (0, b"\0\0\2\0", "Windows cursor", _CONVERT),
    (0, b"icns", "Apple icon", _CONVERT),
    (0, b"%!PS", "PostScript file", "convert it to PDF or PNG"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS file", "convert it to PDF or PNG"),
    (128, b"DICM", "DICOM file", _CONVERT),
    (0, b"\xd7\xcd\xc6\x9a", "WMF drawing", _CONVERT),
    (40, b" EMF", "EMF drawing", _CONVERT),
    (0, b"AT&TFORM", "DjVu document", "convert it to PDF or PNG"),
    (0, b"\x97JB2\r\n\x1a\n", "JBIG2 picture", _CONVERT),
    (0, b"\x8aMNG", "MNG animation", _CONVERT),
    (0, b"\x8bJNG", "JNG picture", _CONVERT),
    (0, b"qoif", "QOI picture", _CONVERT),
    (0, b"v/1\x01", "OpenEXR picture", _CONVERT),
    (0, b"#?RADIANCE", "Radiance picture", _CONVERT),
    (0, b"DDS ", "DirectDraw texture", _CONVERT),
    (0, b"SIMPLE  =", "FITS file", _CONVERT),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5 file", _CONVERT),
    (0, b"\x93NUMPY", "NumPy array", _CONVERT),
    (0, b"\x59\xa6\x6a\x95", "Sun raster", _CONVERT),
    (0, b"\x01\xda", "SGI picture", _CONVERT),
    (0, b"II\xbc\x01", "JPEG XR picture", _CONVERT),
    (0, b"IIRO", "Olympus raw photo", "develop it to PNG or JPEG"),
    (0, b"IIU\0", "Panasonic raw photo", "develop it to PNG or JPEG"),
    (0, b"FUJIFILMCCD-RAW", "Fujifilm raw photo", "develop it to PNG or JPEG"),
    (0, b"\x1f\x8b", "gzip file", "decompress it"),
    (0, b"BZh", "bzip2 file", "decompress it"),
    (0, b"\xfd7zXZ\0", "xz file", "decompress it"),
    (0, b"\x28\xb5\x2f\xfd", "zstd file", "decompress it"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip archive", "unpack it, or pack it as zip or tar"),
    (0, b"Rar!\x1a\x07", "RAR archive", "unpack it, or pack it as zip or tar"),
    (0, b"PK\x03\x04", "zip archive or Office document", "give archives the suffix .zip"),
    (0, b"\xd0\xcf\x11\xe0", "Office document or Thumbs.db", "export its pictures"),
    (0, b"{\\rtf", "RTF document", "export its pictures"),
    (0, b"\x7fELF", "program", "leave it out"),
    (0, b"MZ", "program", "leave it out"),
    (0, b"SQLite format 3\0", "SQLite database", "leave it out"),
    (0, b"\0\x05\x16\x07", "AppleDouble file", "leave it out"),
    (0, b"\0\x05\x16\0", "AppleSingle file", "leave it out"),
    (0, b"\0\0\0\x01Bud1", ".DS_Store file", "leave it out"),
    (4, b"ftyp", "video", "extract its frames as PNG"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM video", "extract its frames as PNG"),
    (8, b"AVI ", "AVI video", "extract its frames as PNG"),
    (8, b"WAVE", "sound", "leave it out"),
    (0, b"ID3", "sound", "leave it out"),
    (0, b"OggS", "Ogg sound or video", "leave it out"),
    (0, b"FLV\x01", "Flash video", "extract its frames as PNG"),
    (0, b"\0\0\1\xba", "MPEG video", "extract its frames as PNG"),
    (0, b"version https://git-lfs", "Git LFS pointer", "fetch the file itself: git lfs pull"),
    (0, b"From ", "e-mail", "export its pictures"),
)
"""Place, bytes there, kind, and what to do; the first match counts."""

_TEXTS: Final = (
    (b"<svg", "SVG drawing", _CONVERT),
    (b"<!doctype html", "HTML page, perhaps an error page", "download the picture again"),
    (b"<html", "HTML page, perhaps an error page", "download the picture again"),
    (b"<?xml", "XML file, perhaps an error message", "download the picture again"),
    (b"{", "JSON text, perhaps an error message", "download the picture again"),
    (b"[", "JSON text, perhaps an error message", "download the picture again"),
)

_READ: Final = 1024
_BLANKS: Final = b"\xef\xbb\xbf \t\r\n"


def refusal(data: bytes) -> str:
    """Return what an unsupported file is and what to do with it, in one line."""
    for place, magic, kind, advice in _MAGIC:
        if data.startswith(magic, place):
            return f"{kind}: {advice}"
    head = data[:_READ].lstrip(_BLANKS).lower()
    if head.startswith(b"<?xml") and b"<svg" in head:
        return f"SVG drawing: {_CONVERT}"
    for start, kind, advice in _TEXTS:
        if head.startswith(start):
            return f"{kind}: {advice}"
    if head and _is_text(data[:_READ]):
        return f"text, begins with {data[:16].decode(errors='replace')!r}: leave it out"
    return f"begins with {data[:8]!r}, no supported kind of image"


def _is_text(head: bytes) -> bool:
    try:
        # A character may be cut in two where the head ends.
        return head[: len(head) - 4 if len(head) == _READ else None].decode().isprintable() or not any(
            byte < 32 and byte not in b"\t\r\n\f" for byte in head
        )
    except UnicodeDecodeError:
        return False
