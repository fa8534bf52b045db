"""The images themselves, small, beside the digits that the model saw: those of a run's galleries.

They are read once, when a run ends, and kept in a file of the report: input folders are emptied, and the page
must come out the same whenever it is rebuilt.
"""

import base64
import json
import os
from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np

from digitmill.reports.thumbnail import thumbnail
from digitmill.storage import OutputFolder
from digitmill.storage.names import path_of
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
    kept = (*statistics.doubtful, *label_suspects(statistics), *statistics.disagreements)
    pngs = {each.image: each.png for each in kept if each.image.startswith("file://")}
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
