"""What `gs://` places and names look like; apart from Google's client, which takes 0.4 s to import."""

from typing import Final

from digitmill.storage.listed_image import ListedImage
from schemas.errors import UserError

SCHEME: Final = "gs://"

EMULATOR: Final = "STORAGE_EMULATOR_HOST"
"""Environment variable with an emulator's address; Google's libraries agree on it."""


def split_uri(uri: str) -> tuple[str, str]:
    """Returns bucket and object name of `gs://bucket/name`; the name may hold anything, and may be empty."""
    bucket, _, name = uri.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise UserError("a gs:// place names a bucket", value=uri, hint="write gs://BUCKET/FOLDER")
    return bucket, name


def is_folder_marker(image: ListedImage) -> bool:
    """Whether an object is what consoles make to show an empty folder: no bytes, a name that ends in `/`."""
    return image.uri.endswith("/") and not image.size
