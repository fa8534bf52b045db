"""Files wherever they are, on disk or in `gs://`: one listing, one way to read."""

import contextlib
import os
from collections.abc import Iterator
from typing import IO, Final, NamedTuple

from schemas.errors import UserError
from schemas.failure import MAX_BYTES, FailureCode, ImageError
from schemas.model import bundle

CLOUD: Final = "gs://"


class File(NamedTuple):
    """A file as it was listed.

    Attributes:
        place: path, or `gs://bucket/name`.
        size: bytes; below zero where it could not be found.
        version: modification time in ns, or the object's generation.
        checksum: CRC32C of an object's bytes as Google writes it; empty where none is known.
    """

    place: str
    size: int
    version: int
    checksum: str = ""


def in_cloud(place: str) -> bool:
    """Whether a place is in a bucket.

    Raises:
        UserError: for a place in a storage that training does not read.
    """
    if "://" in place and not place.startswith(CLOUD):
        raise UserError(
            "training data is a local path or in gs://", value=place, hint="copy it to one of these"
        )
    return place.startswith(CLOUD)


def join(folder: str, name: str) -> str:
    """Returns the place of a file in a folder; a name that is a whole place stays as it is."""
    return (
        name
        if in_cloud(name)
        else f"{folder.rstrip('/')}/{name}"
        if in_cloud(folder)
        else os.path.join(folder, name)
    )


def folder_of(place: str) -> str:
    """Returns the folder that holds a file."""
    return place.rpartition("/")[0] if in_cloud(place) else os.path.dirname(os.path.abspath(place))


def list_folder(folder: str) -> list[File]:
    """Returns every file of a folder at any depth in a fixed order, hidden ones left out.

    Raises:
        UserError: when it cannot be listed.
    """
    if in_cloud(folder):
        from trainer.files import bucket_files

        return bucket_files.list_folder(folder)
    from trainer.files import local_files

    return list(local_files.list_folder(folder))


def matching(pattern: str) -> list[File]:
    """Returns the files that a pattern of `*`, `?`, `[…]` and `**` matches, sorted; maybe none.

    A file whose name is the pattern is taken as it is, whatever brackets it has in it.

    Raises:
        UserError: when the place cannot be listed.
    """
    if in_cloud(pattern):
        from trainer.files import bucket_files

        return bucket_files.matching(pattern)
    from trainer.files import local_files

    return local_files.matching(pattern)


def stat(places: list[str]) -> list[File]:
    """Returns the files as they are now, in the order given; size -1 where there is none.

    Objects are looked up by listing their folders, a thousand names a request.

    Raises:
        UserError: when a bucket cannot be listed.
    """
    found: dict[str, File] = {}
    clouds = [place for place in places if in_cloud(place)]
    if clouds:
        from trainer.files import bucket_files

        found = bucket_files.stat(clouds)
    from trainer.files import local_files

    return [found[place] if place in found else local_files.stat(place) for place in places]


def read_image(file: File) -> bytes | ImageError:
    """Returns an image file's bytes, or why it cannot be had; never more than the decoder accepts."""
    if file.size > MAX_BYTES:
        return ImageError(FailureCode.TOO_LARGE, f"{file.size:,} bytes; at most {MAX_BYTES:,} are read")
    try:
        if in_cloud(file.place):
            from trainer.files import bucket_files

            return bucket_files.read(file)
        from trainer.files import local_files

        return local_files.read(file.place, most=MAX_BYTES + 1)
    except ImageError as error:
        return error


def read_head(file: File, size: int) -> bytes:
    """Returns a file's first bytes, so many or all.

    Raises:
        UserError: when it cannot be read.
    """
    with _readable(file.place):
        if in_cloud(file.place):
            from trainer.files import bucket_files

            return bucket_files.read_head(file, size)
        with open(file.place, "rb") as opened:
            return opened.read(size)


def open_file(place: str) -> IO[bytes]:
    """Opens a file of any size for reading; an object is fetched whole, and checked, first.

    Raises:
        UserError: when it cannot be read.
    """
    with _readable(place):
        if in_cloud(place):
            from trainer.files import bucket_files

            return bucket_files.fetch(place)
        return open(place, "rb")


@contextlib.contextmanager
def _readable(place: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ImageError) as error:
        said = error.strerror if isinstance(error, OSError) else None
        raise UserError(
            "training data can be read", value=place, hint=f"check the place: {said or error}"
        ) from error


def read_whole(place: str) -> bytes:
    """Returns a file's bytes.

    Raises:
        UserError: when it cannot be read.
    """
    with contextlib.closing(open_file(place)) as file:
        return file.read()


def read_card(place: str) -> bytes:
    """Returns the bytes of a model bundle's card, which says whether a folder is one.

    Raises:
        UserError: when it cannot be read.
    """
    try:
        return read_whole(join(place, bundle.CARD))
    except UserError as error:
        raise UserError(
            f"a model bundle is a folder with a {bundle.CARD}",
            value=place,
            hint=f"give the bundle folder that `digitmill train` wrote; {error.hint}",
        ) from error
