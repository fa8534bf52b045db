"""Parses places and object URIs of `gs://`, `s3://` and `az://`, without importing a store's client."""

from typing import Final

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import SCHEMES
from schemas.errors import UserError

GS: Final = "gs://"

EMULATOR: Final = "STORAGE_EMULATOR_HOST"
"""Environment variable with the address of an emulator of `gs://`; Google's libraries agree on it."""


def is_object(place: str) -> bool:
    """Whether a place is in an object store rather than on disk; raises UserError if it is neither."""
    if "://" not in place or place.startswith("file://"):
        return False
    split_place(place)
    return True


def split(uri: str) -> tuple[str, str, str]:
    """Return scheme, bucket and object name of a URI; the name may be empty or contain any character."""
    scheme, _, rest = uri.partition("://")
    bucket, _, name = rest.partition("/")
    return scheme, bucket, name


def split_place(place: str) -> tuple[str, str, str]:
    """Return scheme, bucket and object name of a place that a user gave.

    Raises:
        UserError: when it is not in an object store, or names no bucket.
    """
    scheme, bucket, name = split(place)
    if scheme not in SCHEMES:
        raise UserError(
            "neither a path nor an address in gs://, s3:// or az://",
            value=place,
            hint="check what comes before ://",
        )
    if not bucket:
        raise UserError("the address names no bucket", value=place, hint=f"write {scheme}://BUCKET/FOLDER")
    return scheme, bucket, name


def is_tidy(name: str) -> bool:
    """Whether obstore accepts an object name: it refuses or rewrites names that are not clean paths."""
    if name.isprintable() and "/." not in f"/{name}" and "//" not in f"/{name}/":
        return True  # nearly every name
    segments = name.split("/")
    return name.isprintable() and not any(segment in ("", ".", "..") for segment in segments)


def is_folder_marker(image: ListedImage) -> bool:
    """Whether an object is the marker of an empty folder: no bytes, and a name that ends in `/`."""
    return image.uri.endswith("/") and not image.size
