"""Training data on disk."""

import glob
import os
from collections.abc import Iterator
from typing import NoReturn

from schemas.errors import UserError
from schemas.failure import FailureCode, ImageError
from trainer.files.files import File


def list_folder(folder: str) -> Iterator[File]:
    """Yields every file of a folder at any depth in a fixed order, hidden ones left out.

    Raises:
        UserError: when a folder cannot be listed.
    """
    for root, folders, names in os.walk(folder, onerror=_refuse_closed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield stat(os.path.join(root, name))


def _refuse_closed(error: OSError) -> NoReturn:
    raise UserError(
        "every folder of training data can be listed",
        value=error.filename,
        hint=f"grant access or move it: {error.strerror}",
    ) from error


def matching(pattern: str) -> list[File]:
    """Returns the files that a pattern matches, sorted."""
    found = [pattern] if os.path.isfile(pattern) else glob.glob(pattern, recursive=True)
    return [stat(path) for path in sorted(found) if os.path.isfile(path)]


def stat(path: str) -> File:
    """Returns a file as it is now; size -1 where there is none, or it cannot be seen."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: a null character in the name
        return File(path, -1, 0)
    return File(path, found.st_size, found.st_mtime_ns)


def read(path: str, *, most: int) -> bytes:
    """Returns a file's bytes, at most so many.

    Raises:
        ImageError: MISSING, DENIED or UNREADABLE.
    """
    try:
        if not os.path.isfile(path) and os.path.exists(path):
            # Opening a pipe that nobody writes to would wait for ever.
            raise ImageError(FailureCode.UNREADABLE, "not a regular file")
        with open(path, "rb") as file:
            return file.read(most)
    except FileNotFoundError as error:
        raise ImageError(FailureCode.MISSING, _said(error)) from error
    except PermissionError as error:
        raise ImageError(FailureCode.DENIED, _said(error)) from error
    except (OSError, ValueError) as error:
        raise ImageError(FailureCode.UNREADABLE, _said(error)) from error


def _said(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
