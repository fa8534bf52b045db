"""Where images come from and where outputs go: local files."""

import contextlib
import errno
import os
import pathlib
import secrets
import stat
from collections.abc import Iterable, Iterator

from imaging.errors import ImageError
from imaging.header import MAX_BYTES
from pipelines.names import path_of
from pipelines.work_item import ListedImage
from schemas.failure import FailureCode

_FAILURES = {
    errno.ENOENT: FailureCode.MISSING,
    errno.ENOTDIR: FailureCode.MISSING,
    errno.ELOOP: FailureCode.MISSING,
    errno.EACCES: FailureCode.DENIED,
    errno.EPERM: FailureCode.DENIED,
}


def read_images(images: Iterable[ListedImage]) -> Iterator[bytes | ImageError]:
    """Yields each image's bytes, or why they cannot be had, in order and one at a time."""
    for image in images:
        try:
            yield _read(image)
        except ImageError as error:
            yield error


def _read(image: ListedImage) -> bytes:
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        file = os.open(path_of(image.uri), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _read_open(file, image)
        finally:
            os.close(file)
    except OSError as error:
        code = _FAILURES.get(error.errno or 0, FailureCode.UNREADABLE)
        raise ImageError(code, error.strerror or type(error).__name__) from error


def _read_open(file: int, image: ListedImage) -> bytes:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(FailureCode.UNREADABLE, "not a regular file")
    if status.st_mtime_ns != image.generation or status.st_size != image.size:
        raise ImageError(
            FailureCode.CHANGED,
            f"{image.size:,} bytes when it was listed, {status.st_size:,} when it was read",
        )
    if status.st_size > MAX_BYTES:
        raise ImageError(FailureCode.TOO_LARGE, f"{status.st_size:,} bytes; at most {MAX_BYTES:,} are read")
    # One byte more than there should be shows a file that grew since.
    data = os.read(file, status.st_size + 1)
    if len(data) != status.st_size:
        raise ImageError(
            FailureCode.CHANGED, f"{status.st_size:,} bytes when it was opened, {len(data):,} read"
        )
    return data


def write_once(target: pathlib.Path, data: bytes) -> None:
    """Writes a file whole or not at all, and leaves one that is there already as it is.

    The name appears only after the bytes have reached the disk, so that a crash at any moment leaves
    either no file of that name or the complete one.
    """
    with _temporary_beside(target, data) as temporary, contextlib.suppress(FileExistsError):
        os.link(temporary, target)


def replace(target: pathlib.Path, data: bytes) -> None:
    """Writes a file whole or not at all, in place of one that is there already."""
    with _temporary_beside(target, data) as temporary:
        os.replace(temporary, target)


@contextlib.contextmanager
def _temporary_beside(target: pathlib.Path, data: bytes) -> Iterator[pathlib.Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
