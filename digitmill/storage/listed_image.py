"""One entry of a listing: where a file or object is, and which version of it was listed."""

from typing import Final, NamedTuple

from schemas.prediction import NO_LABEL

_INT64: Final = 2**63 - 1


class ListedImage(NamedTuple):
    """An image as it was when the input was listed. A tuple: there are millions of them.

    Attributes:
        uri: its identity; ends in a slash for a folder that could not be listed.
        generation: version, see `bounded_generation`; of a local file the modification time in ns since 1970,
            of an S3 or Azure object that in us.
        size: bytes; -1 where the listing could not tell.
        label: the true digit, or `NO_LABEL`.
        checksum: base64 CRC32C of a `gs://` object, ETag of other objects, empty where there is none.
        page_labels: the true digits of its pages, in order, one character each, `-` for none; empty where no
            page has a label of its own.
        carried: columns of the input list that go with it, as a JSON object of texts; empty where none do.
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
    """Return an image as listing files hold it: an empty `carried` is left out, as in earlier versions."""
    return image if image.carried else image[:-1]


def bounded_generation(version: int) -> int:
    """Return a version as it fits int64 columns: from 0 to 2^63 - 1.

    Times before 1970 and, in ns, after April 2262 lose their upper bits, so that another time is another
    version there too.
    """
    return version & _INT64
