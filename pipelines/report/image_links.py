"""Links from a page to the images that it shows: relative on a disk, so that both can be moved together."""

import dataclasses
import os
from typing import Self

from digitmill.reports.gallery import Link
from digitmill.storage.names import path_of, place_from_anywhere, quoted, readable
from pipelines.report.originals import Originals


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
