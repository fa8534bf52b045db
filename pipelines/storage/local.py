"""Local files: walked, read, and written whole or not at all."""

import contextlib
import dataclasses
import datetime
import errno
import fcntl
import os
import pathlib
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO

from imaging.errors import ImageError
from imaging.header import MAX_BYTES
from pipelines.names import path_of, uri_of
from pipelines.storage.interface import LOCK, refuse_held, refuse_used
from pipelines.storage.patterns import compile_pattern, has_magic, literal_prefix
from pipelines.work_item import ListedImage
from schemas.errors import StorageError, UserError
from schemas.failure import FailureCode

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)

_FAILURES = {
    errno.ENOENT: FailureCode.MISSING,
    errno.ENOTDIR: FailureCode.MISSING,
    errno.ELOOP: FailureCode.MISSING,
    errno.EACCES: FailureCode.DENIED,
    errno.EPERM: FailureCode.DENIED,
}


def list_files(given: str) -> Iterator[ListedImage]:
    """Yields every file of a folder, to any depth and through links, or of a pattern, or one file.

    What exists under its exact name is not taken for a pattern. A link that leads nowhere is listed
    and later fails as MISSING; a link back to a folder above ends there.

    Raises:
        UserError: when it does not exist, matches nothing, or a folder cannot be listed.
    """
    if os.path.lexists(os.fsencode(given)):
        yield from _walk(os.fsencode(given))
        return
    if not has_magic(given):
        raise UserError("an input exists", got=given, remedy="check the path")
    matched = False
    for path in _matches(given):
        matched = True
        yield stat_file(path)
    if not matched:
        raise UserError("a pattern matches at least one file", got=given, remedy="check the pattern")


def stat_file(path: bytes) -> ListedImage:
    """Returns one file as it is now; of one that cannot be seen, only its name."""
    try:
        status = os.stat(path)
    except OSError:
        return ListedImage(uri_of(path), generation=0, size=-1)
    return ListedImage(uri_of(path), generation=_generation(status), size=status.st_size)


def _generation(status: os.stat_result) -> int:
    return max(0, status.st_mtime_ns)


def _matches(pattern: str) -> Iterator[bytes]:
    """Yields the files that a pattern matches; `glob` would go round link loops and past locked folders."""
    folder = literal_prefix(pattern).rpartition("/")[0] or ("/" if pattern.startswith("/") else ".")
    if not os.path.isdir(os.fsencode(folder)):
        return
    rest = pattern[len(literal_prefix(pattern).rpartition("/")[0]) :].lstrip("/").split("/")
    compiled = compile_pattern("/".join(rest))
    for path in _files_below(os.fsencode(folder), levels=None if "**" in rest else len(rest)):
        if compiled.fullmatch(os.fsdecode(os.path.relpath(path, os.fsencode(folder)))):
            yield path


def _walk(path: bytes) -> Iterator[ListedImage]:
    if not os.path.isdir(path):
        yield stat_file(path)
        return
    for file in _files_below(path):
        yield stat_file(file)


def _files_below(path: bytes, *, levels: int | None = None) -> Iterator[bytes]:
    """Yields the files of a folder and, down to a level, of those below it, in the order of their paths.

    In the order of the bytes, as object stores list: of folders only those on the way are in memory.
    """
    # A stack, not recursion: folders may lie deeper in each other than Python calls go.
    identity, listed = _look_into(path)
    above = [identity]
    open_folders = [(path, iter(listed))]
    while open_folders:
        folder, names = open_folders[-1]
        name = next(names, None)
        if name is None:
            open_folders.pop()
            above.pop()
        elif not name.endswith(b"/"):
            yield os.path.join(folder, name)
        elif levels is None or len(open_folders) < levels:
            below = os.path.join(folder, name[:-1])
            identity, listed = _look_into(below)
            if identity not in above:  # else a link back to a folder above: its files are listed already
                above.append(identity)
                open_folders.append((below, iter(listed)))


def holds_more_than(folder: bytes, count: int) -> bool:
    """Whether there are more files than so many in a folder, as far as that is quickly seen.

    No link is followed and no folder looked into that cannot be; names without any are not patterns' folders.
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


def _look_into(folder: bytes) -> tuple[tuple[int, int], list[bytes]]:
    """Returns which folder it is, and what it holds in order, folders' names with a slash behind them."""
    try:
        status = os.stat(folder)
        with os.scandir(folder) as entries:
            names = [entry.name + b"/" if _is_folder(entry) else entry.name for entry in entries]
        return (status.st_dev, status.st_ino), sorted(names)
    except OSError as error:
        raise UserError(
            "every folder of an input can be listed",
            got=os.fsdecode(folder),
            remedy=f"grant access or leave it out: {error.strerror}",
        ) from error


def read_file(image: ListedImage) -> bytes:
    """Returns the bytes of a file, the ones that were listed.

    Raises:
        ImageError: MISSING, DENIED, CHANGED, TOO_LARGE or UNREADABLE.
    """
    try:
        file = _open(image)
        try:
            if image.size > MAX_BYTES:
                raise ImageError(
                    FailureCode.TOO_LARGE, f"{image.size:,} bytes; at most {MAX_BYTES:,} are read"
                )
            # One byte more than there should be shows a file that grew since.
            data = os.read(file, image.size + 1)
        finally:
            os.close(file)
    except OSError as error:
        raise _image_error(error) from error
    if len(data) != image.size:
        raise ImageError(FailureCode.CHANGED, f"{image.size:,} bytes when it was opened, {len(data):,} read")
    return data


def open_file(image: ListedImage) -> BinaryIO:
    """Returns a file of any size, the one that was listed, open for reading.

    Raises:
        ImageError: MISSING, DENIED, CHANGED or UNREADABLE.
    """
    try:
        return os.fdopen(_open(image), "rb")
    except OSError as error:
        raise _image_error(error) from error


def _open(image: ListedImage) -> int:
    # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
    file = os.open(path_of(image.uri), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_listed(os.fstat(file), image)
    except ImageError:
        os.close(file)
        raise
    return file


def _check_listed(status: os.stat_result, image: ListedImage) -> None:
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


class _Lock:
    """A lock of the file system's."""

    def confirm(self) -> None:
        """Does nothing: as long as this process lives, nobody else can have taken it."""


@dataclasses.dataclass(frozen=True)
class LocalFolder:
    """An `OutputFolder` on this machine's file system."""

    path: pathlib.Path

    @property
    def place(self) -> str:
        """The path."""
        return str(self.path)

    def at(self, name: str) -> str:
        """Returns a file's path."""
        return str(self.path / name)

    def write_once(self, name: str, data: bytes) -> None:
        """Writes a file unless it is there.

        The name appears only after the bytes have reached the disk, so that a crash at any moment
        leaves either no file of that name or the complete one. And it has reached the disk too when this
        returns: no record can outlive the files that it names, also where the power fails.
        """
        target = self.path / name
        with self._using(name), _temporary_beside(target, data) as temporary:
            try:
                os.link(temporary, target)
            except FileExistsError:
                return  # it was written before
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                # A file system without links, as FAT and bucket mounts are: still whole or not at all.
                if not target.exists():
                    os.replace(temporary, target)
            _sync_folder(target.parent)

    def replace(self, name: str, data: bytes) -> None:
        """Writes a file in place of one that may be there."""
        target = self.path / name
        with self._using(name), _temporary_beside(target, data) as temporary:
            os.replace(temporary, target)
            _sync_folder(target.parent)

    def read(self, name: str) -> bytes:
        """Returns a file's bytes."""
        with self._using(name, missing=True):
            return (self.path / name).read_bytes()

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        return os.path.lexists(self.path / name)

    def written(self, name: str) -> datetime.datetime:
        """Returns when a file was written."""
        with self._using(name, missing=True):
            return datetime.datetime.fromtimestamp((self.path / name).stat().st_mtime, datetime.UTC)

    def names(self, folder: str) -> set[str]:
        """Returns what is in a sub-folder."""
        try:
            with self._using(folder, missing=True):
                return set(os.listdir(self.path / folder))
        except FileNotFoundError:
            return set()

    def walk(self) -> Iterator[str]:
        """Yields every file's path within the folder."""
        for folder, _, files in os.walk(self.path):
            yield from (os.path.relpath(os.path.join(folder, file), self.path) for file in files)

    def folders(self) -> set[str]:
        """Returns the folders in it."""
        return {name for name in self.names("") if (self.path / name).is_dir()}

    def delete(self, name: str) -> None:
        """Removes a file, and its folder if that is empty then."""
        target = self.path / name
        with self._using(name):
            target.unlink(missing_ok=True)
        if target.parent != self.path:
            with contextlib.suppress(OSError):
                target.parent.rmdir()

    @contextlib.contextmanager
    def hold(self) -> Iterator["_Lock"]:
        """Locks the folder; the system takes the lock of a process that dies."""
        new = not self.path.exists()
        self.claim()
        lock = self._lock()
        try:
            yield _Lock()
        finally:
            # Unlinked while it is locked: whoever opened it before finds that it is no longer the folder's.
            (self.path / LOCK).unlink(missing_ok=True)
            os.close(lock)
            if new:
                with contextlib.suppress(OSError):
                    self.path.rmdir()  # nothing came of it

    def _lock(self) -> int:
        while True:
            try:
                lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                self.claim()  # the launcher before this one has just removed the folder that it had made
                continue
            except OSError as error:
                raise self._refusal("the output folder can be locked", error) from error
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(lock), os.stat(self.path / LOCK)):
                        return lock
            except BlockingIOError as error:
                os.close(lock)
                raise refuse_held(self.place) from error
            except OSError as error:
                os.close(lock)
                raise self._refusal("the output folder can be locked", error) from error
            os.close(lock)  # the launcher before this one has just removed it

    def check(self, finished: str) -> None:
        """Refuses a folder that holds something or cannot be seen."""
        try:
            done, used = self.exists(finished), self.path.exists() and not self.path.is_dir()
            # What a launcher left that was killed before it had begun is nothing.
            used = used or any(name != LOCK and not _is_temporary(name) for name in os.listdir(self.path))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._refusal("the output folder can be seen", error) from error
        refuse_used(self.place, finished=done, used=used)

    def claim(self) -> None:
        """Makes the folder and sees that it can be written to."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with _temporary_beside(self.path / "claim", b""):
                pass
        except OSError as error:
            raise self._refusal("the output folder can be written", error) from error

    @contextlib.contextmanager
    def _using(self, name: str, *, missing: bool = False) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if missing and isinstance(error, (FileNotFoundError, NotADirectoryError)):
                raise FileNotFoundError(error.errno, error.strerror, error.filename) from error
            remedy = f"make room or mend it: {error.strerror}"
            raise StorageError(
                "the output can be read and written", got=self.at(name), remedy=remedy
            ) from error

    def _refusal(self, rule: str, error: OSError) -> UserError:
        return UserError(rule, got=self.place, remedy=f"choose another one: {error.strerror}")


def _sync_folder(folder: pathlib.Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # mounts of buckets and the like cannot sync folders
            raise
    finally:
        os.close(handle)


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


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
