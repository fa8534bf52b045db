"""Local files as inputs: lists folders and patterns, and reads files in the listed version."""

import errno
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from digitmill.storage.folder_walk import OF_THE_PROCESS, files_below, stat_image, walk
from digitmill.storage.listed_image import ListedImage, bounded_generation
from digitmill.storage.names import may_hold_several, path_hint, path_of, real_root, uri_of
from digitmill.storage.patterns import EVERYTHING, PathPattern
from digitmill.storage.survey import Survey
from schemas.errors import StorageError, UserError
from schemas.failure import MAX_BYTES, FailureCode, ImageError

_FAILURES = {
    errno.ENOENT: FailureCode.MISSING,
    errno.ENOTDIR: FailureCode.MISSING,
    errno.ELOOP: FailureCode.MISSING,
    errno.EACCES: FailureCode.DENIED,
    errno.EPERM: FailureCode.DENIED,
}

_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: opening a pipe that nobody writes to would wait for ever."""


class NothingFoundError(UserError):
    """No file or object has this name or matches the pattern."""


def list_files(given: str, survey: Survey) -> Iterator[ListedImage]:
    """Yield every file of a folder, at any depth and through links, or of a pattern, or a single file.

    Names begin with the real path of the given folder, or of the folder that contains the given file or the
    first wildcard. Links below it keep their names. A broken link is listed and later fails as MISSING.

    Raises:
        NothingFoundError: when the input does not exist or matches nothing.
        UserError: when its folder cannot be listed, or any folder in it if the survey is strict.
    """
    root, rest = real_root(given)
    if not rest and not os.path.lexists(os.fsencode(given)):
        raise NothingFoundError("input not found", value=given, hint=path_hint(given))
    if not rest and not os.path.isdir(root):
        yield stat_file(root)
        return
    pattern, empty, left_out = PathPattern.of(rest) if rest else EVERYTHING, True, survey.left_out
    for image in walk(root, pattern, survey) if os.path.isdir(root) else ():
        empty = False
        yield image
    if empty and rest and survey.left_out == left_out:
        raise NothingFoundError("no file matches the pattern", value=given, hint="check the pattern")


def stat_file(path: bytes) -> ListedImage:
    """Return one file as it is now; size -1 and generation 0 when it cannot be examined."""
    return stat_image(path, uri_of(path))


def count_files(folders: Iterable[bytes], most: int) -> int:
    """Return the number of files in folders at any depth, not following links, counted up to `most`.

    Folders that cannot be listed count as empty.
    """
    files = itertools.chain.from_iterable(map(files_below, folders))
    return sum(1 for _ in itertools.islice(files, most))


def count_images(folders: Iterable[bytes], most: int) -> int | None:
    """Return the number of images in folders, as `count_files` finds them.

    None if there are `most` or more, or if a file may hold several images or stand for a folder.
    """
    count = 0
    for entry in itertools.chain.from_iterable(map(files_below, folders)):
        count += 1
        if count == most or entry.is_symlink() or may_hold_several(os.fsdecode(entry.name)):
            return None
    return count


def open_regular_file(path: str | os.PathLike[str], *, flags: int = 0) -> BinaryIO:
    """Open a file for reading; `flags` are further flags of `os.open`.

    Raises:
        OSError: when it cannot be opened, or is a pipe, a device or a folder; does not wait for a pipe.
    """
    file = os.open(path, _READ | flags)
    mode = os.fstat(file).st_mode
    if not stat.S_ISREG(mode):
        os.close(file)
        error = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(error, "not a regular file", os.fspath(path))
    return os.fdopen(file, "rb")


def read_regular_file(path: str | os.PathLike[str], *, flags: int = 0) -> bytes:
    """Return the bytes of a file opened by `open_regular_file`."""
    with open_regular_file(path, flags=flags) as file:
        return file.read()


def read_file(image: ListedImage) -> bytes:
    """Return the bytes of a file in the listed version.

    Raises:
        ImageError: MISSING, DENIED, CHANGED, TOO_LARGE or UNREADABLE.
        StorageError: when the process may not open more files.
    """
    uri, generation, size = image[:3]
    try:
        file = os.open(path_of(uri), _READ)
        try:
            status = os.fstat(file)
            # The usual case, checked here: a call would cost a tenth of what reading a file takes.
            if (status.st_mtime_ns, status.st_size) != (generation, size) or not stat.S_ISREG(status.st_mode):
                _check_listed(status, image)
            if size > MAX_BYTES:
                raise ImageError(FailureCode.TOO_LARGE, f"{size:,} bytes; at most {MAX_BYTES:,} are read")
            # One byte more than there should be shows a file that grew since.
            data = os.read(file, size + 1)
        finally:
            os.close(file)
    except OSError as error:
        raise _image_error(error) from error
    if len(data) != size:
        raise ImageError(FailureCode.CHANGED, f"{size:,} bytes when it was opened, {len(data):,} read")
    return data


def open_file(image: ListedImage) -> BinaryIO:
    """Open a file of any size for reading, in the listed version.

    Raises:
        ImageError: MISSING, DENIED, CHANGED or UNREADABLE.
        StorageError: when the process may not open more files.
    """
    try:
        file = os.open(path_of(image.uri), _READ)
        try:
            _check_listed(os.fstat(file), image)
        except ImageError:
            os.close(file)
            raise
        return os.fdopen(file, "rb")
    except OSError as error:
        raise _image_error(error) from error


def _check_listed(status: os.stat_result, image: ListedImage) -> None:
    if stat.S_ISDIR(status.st_mode) and image.uri.endswith("/"):
        os.scandir(path_of(image.uri)).close()
        raise ImageError(FailureCode.UNREADABLE, "the folder could not be listed with the input; it can now")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(FailureCode.UNREADABLE, "not a regular file")
    if bounded_generation(status.st_mtime_ns) != image.generation or status.st_size != image.size:
        raise ImageError(
            FailureCode.CHANGED,
            f"{image.size:,} bytes when it was listed, {status.st_size:,} when it was read",
        )


def _image_error(error: OSError) -> ImageError:
    if error.errno in OF_THE_PROCESS:
        raise StorageError(
            "cannot open more files of the input",
            value=error.strerror,
            hint="raise the limit of open files (`ulimit -n`) or of memory, or use fewer workers",
        ) from error
    code = _FAILURES.get(error.errno or 0, FailureCode.UNREADABLE)
    return ImageError(code, error.strerror or type(error).__name__)
