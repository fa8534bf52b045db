"""Tells a storage that has gone away from images that have."""

import os
from collections.abc import Sequence
from typing import Final

from digitmill.storage.names import path_of
from digitmill.storage.object_stores.objects import ObjectStores, split
from digitmill.storage.read_limits import ReadLimits
from schemas.errors import StorageError, UserError
from schemas.failure import Failure, FailureCode

_TELLING: Final = 16
"""Files that say by their absence that their folder is gone; fewer may have been removed with it."""

_STORAGE_CODES: Final = (FailureCode.MISSING, FailureCode.DENIED, FailureCode.UNREADABLE)


def refuse_outage(failures: Sequence[Failure], *, listed: int) -> None:
    """Raises StorageError where images failed because their bucket or folder is out of reach.

    Such failures are no answers: credentials run out, networks break, and the same images can be read
    when the run is gone on with. A bucket that can still be listed has lost its images one by one.
    Where most of the images could be read, a bucket that may not be listed is none of our business.

    Args:
        failures: of a work item.
        listed: images that it holds.
    """
    failed = [failure.image for failure in failures if failure.code in _STORAGE_CODES]
    if 2 * len(failed) > listed:
        _look_at_folder([path_of(uri) for uri in failed if uri.startswith("file:")])
    for uri in {split(uri)[:2]: uri for uri in failed if not uri.startswith("file:")}.values():
        try:
            _look_beside(uri)
        except UserError as error:
            from digitmill.storage.object_stores import google

            if google.is_denied(error.__cause__) and 2 * len(failed) <= listed:
                continue
            raise StorageError(
                "a bucket of the input stays within reach", value=error.value, hint=error.hint
            ) from error


def _look_at_folder(paths: Sequence[bytes]) -> None:
    """Raises StorageError where the folder of some files is gone with them, as an unmounted disk is."""
    if len(paths) < _TELLING:
        return
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError as error:
        hint = f"bring it back: {error.strerror}"
        raise StorageError(
            "a folder of the input stays within reach", value=os.fsdecode(folder), hint=hint
        ) from error


def _look_beside(uri: str) -> None:
    """Lists an image's own folder: rights may end there."""
    scheme, bucket, name = split(uri)
    folder = name.rpartition("/")[0]
    if scheme == "gs":
        from digitmill.storage.object_stores import google

        listed = google.list_objects(bucket, prefix=f"{folder}/" if folder else "", most=1)
    else:
        listed = ObjectStores(ReadLimits()).list(scheme, bucket, folder)
    next(listed, None)
