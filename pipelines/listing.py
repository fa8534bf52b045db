"""Lists the images of folders, files and patterns: once, before anything is read."""

import glob
import os
from collections.abc import Iterator, Sequence

from pipelines.names import uri_of
from pipelines.work_item import ListedImage
from schemas.errors import UserError


def list_images(inputs: Sequence[str]) -> list[ListedImage]:
    """Returns every file of the inputs once, sorted by URI.

    All files count, whatever their names: what is no image becomes a failure row, so that nothing
    is lost unnoticed. A folder is walked to any depth, through links; a link that leads nowhere is
    listed and later fails as MISSING.

    Args:
        inputs: folders, files or patterns (`*`, `?`, `[…]`, `**`). What exists under its exact name
            is not taken for a pattern.

    Raises:
        UserError: when an input does not exist, matches nothing, or cannot be listed.
    """
    found: dict[str, ListedImage] = {}
    for given in inputs:
        images = [image for path in _matches(given) for image in _walk(path)]
        found.update((image.uri, image) for image in images)
        if not images:
            raise UserError(
                "an input holds at least one file", got=given, remedy="check the path or the pattern"
            )
    return sorted(found.values())


def _matches(given: str) -> Iterator[bytes]:
    if "://" in given:
        raise UserError(
            "an input is a local folder, file or pattern",
            got=given,
            remedy="copy the images to a local folder",
        )
    path = os.fsencode(given)
    if os.path.lexists(path):
        yield path
        return
    if not glob.has_magic(path):
        raise UserError("an input exists", got=given, remedy="check the path")
    matched = False
    for match in glob.iglob(path, recursive=True, include_hidden=True):
        matched = True
        yield match
    if not matched:
        raise UserError("a pattern matches at least one file", got=given, remedy="check the pattern")


def _walk(path: bytes) -> Iterator[ListedImage]:
    if not os.path.isdir(path):
        yield _listed(path)
        return
    pending = [(path, frozenset[tuple[int, int]]())]
    while pending:
        folder, above = pending.pop()
        identity = _identity(folder)
        if identity in above:
            continue  # a link back to a folder above: its files are listed already
        for entry in _entries(folder):
            if entry.is_dir():
                pending.append((entry.path, above | {identity}))
            else:
                yield _listed(entry.path)


def _identity(folder: bytes) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _entries(folder: bytes) -> list[os.DirEntry[bytes]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(
            "every folder of an input can be listed",
            got=os.fsdecode(folder),
            remedy=f"grant access or leave it out: {error.strerror}",
        ) from error


def _listed(path: bytes) -> ListedImage:
    try:
        status = os.stat(path)
    except OSError:
        return ListedImage(uri_of(path), generation=0, size=-1)
    return ListedImage(uri_of(path), generation=max(0, status.st_mtime_ns), size=status.st_size)
