"""The original images of a page: links to them, and thumbnails of those in its galleries.

The thumbnails are made once, when a run ends, and kept in a file of the report: input folders may be emptied
later, but a rebuilt page must be the same.
"""

import base64
import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Final, Self

import cv2
import numpy as np

from digitmill.reports.gallery import Link
from digitmill.reports.thumbnail import thumbnail
from digitmill.storage import OutputFolder
from digitmill.storage.names import path_of, place_from_anywhere, quoted, readable
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.label_suspects import label_suspects
from schemas.layout import ORIGINALS

_MAX_BYTES: Final = 4 * 2**20
"""Larger images, in bytes, are left out: large photographs take a tenth of a second each."""

_PLAIN: Final = (b"\x89PNG", b"\xff\xd8\xff")
"""First bytes of PNG and JPEG files. Other formats are not decoded here."""

Originals = Mapping[str, str]
"""WebP thumbnails in base64, by image URI."""


def find_originals(statistics: RunStatistics) -> Originals:
    """Return thumbnails of the images in the galleries, which are few.

    Only reads files on disk, to save requests to buckets. Missing files are left out.
    """
    kept = [(each.image, each.png) for each in (*statistics.doubtful, *label_suspects(statistics))]
    kept += [(each.image, each.png) for each in statistics.disagreements]
    pngs = {uri: png for uri, png in kept if uri.startswith("file://")}
    found = ((uri, _original(uri, png)) for uri, png in sorted(pngs.items()))
    return {uri: base64.b64encode(original).decode() for uri, original in found if original}


def _original(uri: str, png: str) -> bytes:
    try:
        path = path_of(uri)
        if os.path.getsize(path) > _MAX_BYTES:
            return b""
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES)
    except (OSError, ValueError):
        return b""  # deleted, or the member of an archive
    digit = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_GRAYSCALE)
    if not content.startswith(_PLAIN) or digit is None:
        return b""
    return thumbnail(content, digit)


def read_originals(output: OutputFolder) -> Originals:
    """Return the thumbnails stored by a finished run; empty if the file is missing or damaged."""
    try:
        found = json.loads(output.read(ORIGINALS))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclasses.dataclass(frozen=True)
class ImageLinks:
    """Makes links for a page in a folder.

    Attributes:
        folder: folder of the page, an absolute path or a URI; empty if unknown.
        originals: thumbnails by image URI.
    """

    folder: str = ""
    originals: Originals = dataclasses.field(default_factory=dict)

    def original(self, uri: str) -> str:
        """Return the thumbnail of an image, a WebP in base64; empty if there is none."""
        return self.originals.get(uri, "")

    def to(self, uri: str) -> Link:
        """Return the link to an image or folder, or an address to copy if a browser cannot open it.

        Browsers cannot open objects in buckets or members of archives.
        """
        if not uri.startswith("file://") or "!" in uri:
            return Link(address=readable(uri))
        if not self.folder or "://" in self.folder:
            return Link(href=uri)
        path = path_of(uri)
        near = os.path.relpath(path, os.fsencode(self.folder))
        return Link(href=quoted(near))

    @classmethod
    def of_page_in(cls, place: str) -> Self:
        """Return the link maker of a page in a folder, given as a path or URI."""
        return cls(place_from_anywhere(place))
