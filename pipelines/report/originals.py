"""The images behind a page: links to them, and small pictures of those in its galleries.

The pictures are made once, when a run ends, and kept in a file of the report: input folders are emptied, and
the page must come out the same whenever it is rebuilt.
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
"""Size from which an image is left out: large photographs take a tenth of a second each."""

_PLAIN: Final = (b"\x89PNG", b"\xff\xd8\xff")
"""First bytes of PNG and JPEG, which this process decodes itself."""

Originals = Mapping[str, str]
"""A WebP in base64 by the image's URI."""


def find_originals(statistics: RunStatistics) -> Originals:
    """Return pictures of the images in the galleries, of which there is a bounded number.

    Only files on disk: a bucket is not asked once more. An image that is gone is left out.
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
        return b""  # gone, or the member of an archive
    digit = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_GRAYSCALE)
    if not content.startswith(_PLAIN) or digit is None:
        return b""
    return thumbnail(content, digit)


def read_originals(output: OutputFolder) -> Originals:
    """Return the pictures that a finished run has kept; none where the file is missing or damaged."""
    try:
        found = json.loads(output.read(ORIGINALS))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclasses.dataclass(frozen=True)
class ImageLinks:
    """Makes links for a page in a folder.

    Attributes:
        folder: where the page is, an absolute path or a URI; empty where it is not known.
        originals: small pictures of images, by their URI.
    """

    folder: str = ""
    originals: Originals = dataclasses.field(default_factory=dict)

    def original(self, uri: str) -> str:
        """Return the small picture of an image, a WebP in base64; empty where there is none."""
        return self.originals.get(uri, "")

    def to(self, uri: str) -> Link:
        """Return the link to an image or a folder; an address to copy where a browser could not open it.

        Browsers open neither objects in buckets nor members of archives.
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
        """Return the links of a page in a folder, a path or a URI."""
        return cls(place_from_anywhere(place))
