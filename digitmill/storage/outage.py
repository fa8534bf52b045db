"""Distinguishes an unreachable storage from missing images."""

import os
from collections.abc import Sequence
from typing import Final

from digitmill.storage.names import path_of
from digitmill.storage.object_stores.bucket import StoreError
from digitmill.storage.object_stores.bucket_folder import open_bucket
from digitmill.storage.object_stores.uris import split
from schemas.errors import StorageError
from schemas.failure import Failure, FailureCode

_ENOUGH_FILES: Final = 16
"""Missing files from which their folder is checked too; a folder of fewer may have been deleted."""

_STORAGE_CODES: Final = (FailureCode.MISSING, FailureCode.DENIED, FailureCode.UNREADABLE)


def refuse_outage(failures: Sequence[Failure], *, listed: int) -> None:
    """Raise StorageError if images failed because their bucket or folder cannot be reached.

    Such failures must not be recorded: after expired credentials or a network failure, a resumed run can read
    the same images. If the bucket can still be listed, the images themselves are missing. If most images
    could be read, a bucket that cannot be listed is not an outage, because reading needs no list permission.
    """
    failed = [failure.image for failure in failures if failure.code in _STORAGE_CODES]
    if 2 * len(failed) > listed:
        _check_folder([path_of(uri) for uri in failed if uri.startswith("file:")])
    for uri in {split(uri)[:2]: uri for uri in failed if not uri.startswith("file:")}.values():
        _check_bucket(uri, most_failed=2 * len(failed) > listed)


def _check_folder(paths: Sequence[bytes]) -> None:
    """Raise StorageError where the folder of some files is gone with them, as an unmounted disk is."""
    if len(paths) < _ENOUGH_FILES:
        return
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError as error:
        hint = f"bring it back: {error.strerror}"
        raise StorageError(
            "cannot reach a folder of the input", value=os.fsdecode(folder), hint=hint
        ) from error


def _check_bucket(uri: str, *, most_failed: bool) -> None:
    """Raise StorageError where an image's own folder cannot be listed: rights may end there."""
    scheme, bucket, name = split(uri)
    folder = name[: name.rfind("/") + 1]
    try:
        next(open_bucket(scheme, bucket).list(folder, most=1), None)
    except StoreError as error:
        if most_failed or not error.denied:
            raise StorageError(
                "cannot reach a bucket of the input",
                value=f"{scheme}://{bucket}/{folder}",
                hint=error.hint,
            ) from error
