"""One entry of a listing: where a file or object is, and which version of it was listed."""

from typing import Final, NamedTuple

from schemas.prediction import NO_LABEL

_INT64: Final = 2**63 - 1


class ListedImage(NamedTuple):
    """An image as it was when the input was listed. A tuple, because there are millions of them.

    Attributes:
        uri: identity of the image; ends in a slash for a folder that could not be listed.
        generation: version, see `bounded_generation`: the modification time, in ns since 1970 for local
            files, in us for S3 and Azure objects.
        size: size in bytes; -1 if unknown.
        label: the true digit, or `NO_LABEL`.
        checksum: base64 CRC32C of a `gs://` object, or ETag of another object; empty if there is none.
        page_labels: the true digits of its pages, in order, one character each, `-` for no label; empty if
            no page has its own label.
        carried: carried columns of the input list, as a JSON object of texts; empty if there are none.
    """

    uri: str
    generation: int
    size: int
    label: int = NO_LABEL
    checksum: str = ""
    page_labels: str = ""
    carried: str = ""


FIELD_TYPES: Final = tuple(ListedImage.__annotations__.values())
"""Types of an image's fields."""


def stored(image: ListedImage) -> tuple:
    """Return an image in the form of listing files: without an empty `carried`, as in earlier versions."""
    return image if image.carried else image[:-1]


def bounded_generation(version: int) -> int:
    """Return a version that fits int64 columns: from 0 to 2^63 - 1.

    Times before 1970 and, in ns, after April 2262 lose their upper bits, so that different times still give
    different versions.
    """
    return version & _INT64
