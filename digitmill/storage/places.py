"""Which storage a place belongs to."""

import os
import pathlib
from collections.abc import Iterator

from digitmill.storage.interface import OutputFolder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_input import list_files
from digitmill.storage.local_output import LocalFolder
from digitmill.storage.names import path_of
from digitmill.storage.object_stores import gs
from digitmill.storage.object_stores.objects import SCHEMES, ObjectStores, split
from digitmill.storage.patterns import compile_pattern, has_magic, literal_prefix
from digitmill.storage.read_limits import ReadLimits
from schemas.errors import UserError


def list_place(given: str) -> Iterator[ListedImage]:
    """Yields the images of a folder, a pattern or one file, on disk or in a bucket.

    Raises:
        UserError: when it does not exist, matches nothing, or cannot be listed.
    """
    if "://" not in given:
        yield from list_files(given)
        return
    if given.startswith("file:///"):
        yield from list_files(os.fsdecode(path_of(given)))
        return
    scheme, bucket, name = split(given)
    if scheme not in SCHEMES or not bucket:
        raise UserError(
            "an input is a path or a place in a bucket of gs://, s3:// or az://",
            value=given,
            hint="check what comes before and after ://",
        )
    found = False
    for image in _matching(scheme, bucket, name):
        if not gs.is_folder_marker(image):
            found = True
            yield image
    if not found:
        raise UserError(
            "an input holds at least one object", value=given, hint="check the name or the pattern"
        )


def _matching(scheme: str, bucket: str, name: str) -> Iterator[ListedImage]:
    exact = list(_objects(scheme, bucket, prefix=name, only=name)) if name else []
    yield from exact
    if not has_magic(name) or exact:
        folder = name if not name or name.endswith("/") else f"{name}/"
        yield from (image for image in _objects(scheme, bucket, prefix=folder) if image not in exact)
        return
    pattern = compile_pattern(name)
    for image in _objects(scheme, bucket, prefix=literal_prefix(name)):
        if pattern.fullmatch(split(image.uri)[2]):
            yield image


def _objects(scheme: str, bucket: str, *, prefix: str, only: str = "") -> Iterator[ListedImage]:
    """Yields what begins with a prefix; with `only`, the one object of that name."""
    if scheme == "gs":
        from digitmill.storage.object_stores import google

        if only:
            # Of all names that begin with this one, itself comes first.
            listed = google.list_objects(bucket, prefix=prefix, most=1)
            yield from (image for image in listed if split(image.uri)[2] == only)
        else:
            yield from google.list_objects(bucket, prefix=prefix)
        return
    stores = ObjectStores(ReadLimits())
    if only:
        image = stores.stat(f"{scheme}://{bucket}/{only}")
        yield from [image] if image.size >= 0 else []
        return
    # obstore lists whole path segments only: what is before the last slash, then filter. And it promises
    # no order.
    listed = stores.list(scheme, bucket, prefix.rpartition("/")[0])
    matching = (image for image in listed if split(image.uri)[2].startswith(prefix))
    yield from sorted(matching, key=lambda image: image.uri.encode())


def open_folder(place: str) -> OutputFolder:
    """Returns an output folder, local or in a `gs://` bucket, without touching it.

    Raises:
        UserError: for a place that outputs cannot be written to.
    """
    if place.startswith(gs.SCHEME):
        from digitmill.storage.object_stores.google import CloudFolder

        return CloudFolder(*gs.split_uri(place.rstrip("/")))
    if "://" in place:
        raise UserError("an output is a local folder or in gs://", value=place, hint="name another place")
    return LocalFolder(pathlib.Path(place).absolute())
