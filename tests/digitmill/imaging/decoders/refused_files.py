"""The beginnings of files that are refused by name."""

from typing import Final

REFUSED: Final[dict[str, bytes]] = {
    "JPEG XL picture": b"\xff\x0a\xfa\x1f",
    "JPEG-LS picture": b"\xff\xd8\xff\xf7\0\x0b\x08\0\x1c\0\x1c\x01\x01\x11\0\xff\xda\0\x08\x01\x01"
    + bytes(4),
    "PSD (Photoshop) file": b"8BPS\0\1" + bytes(20),
    "PAM picture": b"P7\nWIDTH 28\n",
    "PFM picture": b"Pf\n28 28\n-1.0\n",
    "GIMP file": b"gimp xcf v011\0",
    "ICO icon": b"\0\0\1\0\1\0\x10\x10",
    "PostScript file": b"%!PS-Adobe-3.0\n",
    "EPS file": b"\xc5\xd0\xd3\xc6" + bytes(28),
    "SVG drawing": b'<?xml version="1.0"?>\n<!-- drawn --><svg xmlns="http://www.w3.org/2000/svg"/>',
    "DICOM file": bytes(128) + b"DICM\x02\0",
    "WMF drawing": b"\xd7\xcd\xc6\x9a" + bytes(18),
    "EMF drawing": b"\1\0\0\0" + bytes(36) + b" EMF",
    "DjVu document": b"AT&TFORM\0\0\0\x20DJVU",
    "OpenEXR picture": b"v/1\x01\2\0\0\0",
    "Fujifilm raw photo": b"FUJIFILMCCD-RAW 0201",
    "gzip file": b"\x1f\x8b\x08\0",
    "7-Zip archive": b"7z\xbc\xaf\x27\x1c\0\4",
    "RAR archive": b"Rar!\x1a\x07\1\0",
    "Word document": b"PK\x03\x04\x14\0[Content_Types].xml" + bytes(2000) + b"PK\1\2word/document.xml",
    "Excel workbook": b"PK\x03\x04\x14\0xl/workbook.xml",
    "PowerPoint presentation": b"PK\x03\x04\x14\0ppt/presentation.xml",
    "OpenDocument file": b"PK\x03\x04\x14\0mimetypeapplication/vnd.oasis.opendocument.text",
    "zip archive under another name": b"PK\x03\x04\x14\0",
    "Office document or Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    ".DS_Store file": b"\0\0\0\x01Bud1\0\0",
    "AppleDouble file": b"\0\x05\x16\x07\0\2\0\0",
    "video": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2",
    "Matroska or WebM video": b"\x1a\x45\xdf\xa3\x01",
    "AVI video": b"RIFF\0\0\0\0AVI LIST",
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "HTML page, perhaps an error page": b"\n<!DOCTYPE html>\n<html><body>404</body></html>",
    "XML file, perhaps an error message": b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>",
    "JSON text, perhaps an error message": b'{"error": "not found"}',
    'text file that begins "image,label 3.pn"': b"image,label\n3.png,3\n",
}
"""Kind, as the failure's detail names it, and bytes."""
