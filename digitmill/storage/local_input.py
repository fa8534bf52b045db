"""Local files as inputs: lists folders and patterns, and reads files in the version that was listed."""

import errno
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO, Final

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import path_of, quoted, uri_of
from digitmill.storage.patterns import compile_pattern, has_magic, literal_prefix
from schemas.errors import UserError
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

_SLASH: Final = ord("/")

_File = tuple[bytes, str, bytes]
"""Path and URI of a folder, each with a slash at its end, and the name of a file in it."""


class NothingFoundError(UserError):
    """There is no file or object of this name, or none that a pattern matches."""


def list_files(given: str) -> Iterator[ListedImage]:
    """Yields every file of a folder, to any depth and through links, or of a pattern, or one file.

    What exists under its exact name is not taken for a pattern. A link that leads nowhere is listed
    and later fails as MISSING; a link back to a folder above ends there.

    Raises:
        NothingFoundError: when it does not exist or matches nothing.
        UserError: when a folder cannot be listed.
    """
    if os.path.lexists(os.fsencode(given)):
        yield from _walk(os.fsencode(given))
        return
    if not has_magic(given):
        raise NothingFoundError("input not found", value=given, hint="check the path")
    matched = False
    for folder, uri, name in _matches(given):
        matched = True
        yield _stat(folder + name, uri + quoted(name))
    if not matched:
        raise NothingFoundError("no file matches the pattern", value=given, hint="check the pattern")


def stat_file(path: bytes) -> ListedImage:
    """Returns one file as it is now; size -1 and generation 0 when it cannot be examined."""
    return _stat(path, uri_of(path))


def _stat(path: bytes, uri: str) -> ListedImage:
    try:
        status = os.stat(path)
    except OSError:
        return ListedImage(uri, 0, -1)
    return ListedImage(uri, _generation(status), status.st_size)


def _generation(status: os.stat_result) -> int:
    return max(0, status.st_mtime_ns)


def _matches(pattern: str) -> Iterator[_File]:
    """Yields the files that a pattern matches; `glob` would follow link loops and skip unreadable folders."""
    folder = literal_prefix(pattern).rpartition("/")[0] or ("/" if pattern.startswith("/") else ".")
    if not os.path.isdir(os.fsencode(folder)):
        return
    rest = pattern[len(literal_prefix(pattern).rpartition("/")[0]) :].lstrip("/").split("/")
    compiled = compile_pattern("/".join(rest))
    for file in _files_below(os.fsencode(folder), levels=None if "**" in rest else len(rest)):
        path, _, name = file
        if compiled.fullmatch(os.fsdecode(os.path.relpath(path + name, os.fsencode(folder)))):
            yield file


def _walk(path: bytes) -> Iterator[ListedImage]:
    if not os.path.isdir(path):
        yield stat_file(path)
        return
    for folder, uri, name in _files_below(path):
        yield _stat(folder + name, uri + quoted(name))


def _files_below(path: bytes, *, levels: int | None = None) -> Iterator[_File]:
    """Yields the files of a folder and, down to a level, of those below it, in the order of their paths.

    In the order of the bytes, as object stores list: of folders only those on the way are in memory.
    """
    # A stack, not recursion: folders may lie deeper in each other than Python calls go.
    identity, listed = _scan_folder(path)
    above = [identity]
    open_folders = [(*_named(path), iter(listed))]
    while open_folders:
        folder, uri, names = open_folders[-1]
        for name in names:
            if name[-1] != _SLASH:
                yield folder, uri, name
            elif levels is None or len(open_folders) < levels:
                below = folder + name[:-1]
                identity, listed = _scan_folder(below)
                if identity not in above:  # else a link back to a folder above: its files are listed already
                    above.append(identity)
                    open_folders.append((*_named(below), iter(listed)))
                    break
        else:
            open_folders.pop()
            above.pop()


def _named(folder: bytes) -> tuple[bytes, str]:
    """Returns a folder's path and URI, each ending in a slash, ready for a name to be appended."""
    uri = uri_of(folder)
    return os.path.join(folder, b""), uri if uri.endswith("/") else f"{uri}/"


def holds_more_than(folder: bytes, count: int) -> bool:
    """Whether a folder holds more than `count` files at any depth, not following links.

    Folders that cannot be listed count as empty.
    """
    left, pending = count, [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                        continue
                    left -= 1
                    if left < 0:
                        return True
        except OSError:
            continue
    return False


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link in a circle, or into a folder that is closed: its reading will fail


def _scan_folder(folder: bytes) -> tuple[tuple[int, int], list[bytes]]:
    """Returns a folder's device and inode, and its sorted names; those of folders end in a slash."""
    try:
        status = os.stat(folder)
        with os.scandir(folder) as entries:
            names = [entry.name + b"/" if _is_folder(entry) else entry.name for entry in entries]
        return (status.st_dev, status.st_ino), sorted(names)
    except OSError as error:
        raise UserError(
            "cannot list the folder",
            value=os.fsdecode(folder),
            hint=f"grant access or leave it out: {error.strerror}",
        ) from error


def read_file(image: ListedImage) -> bytes:
    """Returns the bytes of a file in the version that was listed.

    Raises:
        ImageError: MISSING, DENIED, CHANGED, TOO_LARGE or UNREADABLE.
    """
    size = image.size
    try:
        file = os.open(path_of(image.uri), _READ)
        try:
            _check_listed(os.fstat(file), image)
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
    """Opens a file of any size for reading, in the version that was listed.

    Raises:
        ImageError: MISSING, DENIED, CHANGED or UNREADABLE.
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
    if (status.st_mtime_ns, status.st_size) == image[1:3] and stat.S_ISREG(status.st_mode):
        return  # the usual case, checked first
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(FailureCode.UNREADABLE, "not a regular file")
    if _generation(status) != image.generation or status.st_size != image.size:
        raise ImageError(
            FailureCode.CHANGED,
            f"{image.size:,} bytes when it was listed, {status.st_size:,} when it was read",
        )


def _image_error(error: OSError) -> ImageError:
    code = _FAILURES.get(error.errno or 0, FailureCode.UNREADABLE)
    return ImageError(code, error.strerror or type(error).__name__)
