"""One entry of a listing: where a file or object is, and which version of it was listed."""

from typing import NamedTuple

from schemas.prediction import NO_LABEL


class ListedImage(NamedTuple):
    """An image as it was when the input was listed. A tuple: there are millions of them.

    Attributes:
        uri: its identity.
        generation: version; of a local file the modification time in ns since 1970, of an S3 or Azure
            object that in us.
        size: bytes; -1 where the listing could not tell.
        label: the true digit, or `NO_LABEL`.
        checksum: base64 CRC32C of a `gs://` object, ETag of other objects, empty where there is none.
        page_labels: the true digits of its pages, in order, one character each, `-` for none; empty where no
            page has a label of its own.
    """

    uri: str
    generation: int
    size: int
    label: int = NO_LABEL
    checksum: str = ""
    page_labels: str = ""
