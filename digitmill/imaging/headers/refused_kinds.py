"""Recognizes unsupported kinds of files, in order to name them and say what to do."""

from typing import Final

_CONVERT: Final = "not supported: convert it to PNG or JPEG"
_EXPORT: Final = "not supported: export it as PNG"
_DEVELOP: Final = "not supported: develop it to PNG or JPEG"
_PAGES: Final = "not supported: convert its pages to PDF or PNG"
_FRAMES: Final = "not supported: extract its frames as PNG"
_PICTURES: Final = "not supported: export its pictures as PNG, or print it to PDF"
_DOWNLOAD: Final = "not an image: download the picture again"
_LEAVE_OUT: Final = "not an image: leave it out, such as by --exclude"

_MAGIC: Final[tuple[tuple[int, bytes, str, str], ...]] = (
    (0, b"\xff\x0a", "JPEG XL picture", _CONVERT),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL picture", _CONVERT),
    (0, b"8BPS", "PSD (Photoshop) file", _EXPORT),
    (0, b"8BPB", "PSB (Photoshop) file", _EXPORT),
    (0, b"P7\n", "PAM picture", _CONVERT),
    (0, b"PF\n", "PFM picture", _CONVERT),
    (0, b"Pf\n", "PFM picture", _CONVERT),
    (0, b"gimp xcf", "GIMP file", _EXPORT),
    (0, b"\0\0\1\0", "ICO icon", _CONVERT),
    (0, b"\0\0\2\0", "Windows cursor", _CONVERT),
    (0, b"icns", "Apple icon", _CONVERT),
    (0, b"%!PS-Adobe-3.0 EPSF", "EPS file", _PAGES),
    (0, b"%!PS-Adobe-2.0 EPSF", "EPS file", _PAGES),
    (0, b"%!PS", "PostScript file", _PAGES),
    (0, b"\xc5\xd0\xd3\xc6", "EPS file", _PAGES),
    (128, b"DICM", "DICOM file", _CONVERT),
    (0, b"\xd7\xcd\xc6\x9a", "WMF drawing", _CONVERT),
    (40, b" EMF", "EMF drawing", _CONVERT),
    (0, b"AT&TFORM", "DjVu document", _PAGES),
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
    (0, b"IIRO", "Olympus raw photo", _DEVELOP),
    (0, b"IIU\0", "Panasonic raw photo", _DEVELOP),
    (0, b"FUJIFILMCCD-RAW", "Fujifilm raw photo", _DEVELOP),
    (0, b"\x1f\x8b", "gzip file", "not an image: decompress it first"),
    (0, b"BZh", "bzip2 file", "not an image: decompress it first"),
    (0, b"\xfd7zXZ\0", "xz file", "not an image: decompress it first"),
    (0, b"\x28\xb5\x2f\xfd", "zstd file", "not an image: decompress it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip archive", "not supported: unpack it, or pack it as zip or tar"),
    (0, b"Rar!\x1a\x07", "RAR archive", "not supported: unpack it, or pack it as zip or tar"),
    (0, b"\xd0\xcf\x11\xe0", "Office document or Thumbs.db", _PICTURES),
    (0, b"{\\rtf", "RTF document", _PICTURES),
    (0, b"\x7fELF", "program", _LEAVE_OUT),
    (0, b"MZ", "program", _LEAVE_OUT),
    (0, b"SQLite format 3\0", "SQLite database", _LEAVE_OUT),
    (0, b"\0\x05\x16\x07", "AppleDouble file", _LEAVE_OUT),
    (0, b"\0\x05\x16\0", "AppleSingle file", _LEAVE_OUT),
    (0, b"\0\0\0\x01Bud1", ".DS_Store file", _LEAVE_OUT),
    (4, b"ftyp", "video", _FRAMES),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM video", _FRAMES),
    (8, b"AVI ", "AVI video", _FRAMES),
    (8, b"WAVE", "sound", _LEAVE_OUT),
    (0, b"ID3", "sound", _LEAVE_OUT),
    (0, b"OggS", "Ogg sound or video", _LEAVE_OUT),
    (0, b"FLV\x01", "Flash video", _FRAMES),
    (0, b"\0\0\1\xba", "MPEG video", _FRAMES),
    (0, b"version https://git-lfs", "Git LFS pointer", "not an image: fetch the file itself by git lfs pull"),
    (0, b"From ", "e-mail", _PICTURES),
)
"""Place, bytes there, kind, and what to do; the first match counts."""

_ZIP: Final = b"PK\x03\x04"

_OFFICE: Final = (
    (b"word/document.xml", "Word document"),
    (b"xl/workbook.xml", "Excel workbook"),
    (b"ppt/presentation.xml", "PowerPoint presentation"),
    (b"mimetypeapplication/vnd.oasis.opendocument", "OpenDocument file"),
    (b"mimetypeapplication/epub", "EPUB book"),
    (b"AndroidManifest.xml", "Android app"),
    (b"META-INF/MANIFEST.MF", "Java archive"),
)
"""What tells the zip files apart that are documents: a member's name, or the first member."""

_ZIP_DIRECTORY: Final = 65_536
"""Bytes at a zip file's end in which the names of members are looked for."""

_TEXTS: Final = (
    (b"<svg", "SVG drawing", _CONVERT),
    (b"<!doctype html", "HTML page, perhaps an error page", _DOWNLOAD),
    (b"<html", "HTML page, perhaps an error page", _DOWNLOAD),
    (b"<?xml", "XML file, perhaps an error message", _DOWNLOAD),
    (b"{", "JSON text, perhaps an error message", _DOWNLOAD),
    (b"[", "JSON text, perhaps an error message", _DOWNLOAD),
)

_READ: Final = 1024
_BLANKS: Final = b"\xef\xbb\xbf \t\r\n"


def refusal(data: bytes) -> str:
    """Return one line on what an unsupported file is and what to do with it."""
    for place, magic, kind, advice in _MAGIC:
        if data.startswith(magic, place):
            return f"{kind}, {advice}"
    if data.startswith(_ZIP):
        return _zipped(data)
    head = data[:_READ].lstrip(_BLANKS).lower()
    if head.startswith(b"<?xml") and b"<svg" in head:
        return f"SVG drawing, {_CONVERT}"
    for start, kind, advice in _TEXTS:
        if head.startswith(start):
            return f"{kind}, {advice}"
    return _unnamed(data, head)


def _unnamed(data: bytes, head: bytes) -> str:
    """Return the same for a file that no first bytes tell; `head` is its beginning, without white space."""
    if head and _is_text(data[:_READ]):
        begins = " ".join(data[:_READ].decode("utf-8-sig", errors="ignore").split())[:16]
        return f'text file that begins "{begins}", {_LEAVE_OUT}'
    if not data[:_READ].strip(b"\0"):
        return "file of zero bytes, perhaps an interrupted copy: copy it again"
    return f"unknown format (first bytes {data[:8].hex(' ')}), {_CONVERT}"


def _zipped(data: bytes) -> str:
    """Return the same for a zip file: a document, or an archive without an archive's name."""
    for member, kind in _OFFICE:
        if member in data[:_READ] or member in data[-_ZIP_DIRECTORY:]:
            return f"{kind}, {_PICTURES}"
    return "zip archive under another name: rename it to end in .zip"


def _is_text(head: bytes) -> bool:
    try:
        # A character may be cut in two where the head ends.
        return head[: len(head) - 4 if len(head) == _READ else None].decode().isprintable() or not any(
            byte < 32 and byte not in b"\t\r\n\f" for byte in head
        )
    except UnicodeDecodeError:
        return False
