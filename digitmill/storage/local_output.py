"""Local output folders: files are written whole or not at all."""

import contextlib
import dataclasses
import datetime
import errno
import fcntl
import os
import pathlib
import secrets
import stat
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from digitmill.storage.interface import LOCK, held_error, refuse_used
from digitmill.storage.local_input import read_regular_file
from schemas.errors import StorageError, UserError

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)


@dataclasses.dataclass(frozen=True)
class _Lock:
    """A file lock of the operating system."""

    path: pathlib.Path
    handle: int

    def confirm(self) -> None:
        """Check that its file exists: while this process lives, nobody else can have taken it."""
        if not self.is_held():
            raise _removed(self.path.parent)

    def is_held(self) -> bool:
        """Whether its file is still the one that was locked, not that of a folder made since."""
        try:
            return os.path.samestat(os.fstat(self.handle), os.stat(self.path))
        except OSError:
            return False


@dataclasses.dataclass(frozen=True)
class LocalFolder:
    """An `OutputFolder` on this machine's file system."""

    path: pathlib.Path

    @property
    def place(self) -> str:
        return str(self.path)

    def at(self, name: str) -> str:
        return str(self.path / name)

    def write_once(self, name: str, data: bytes) -> None:
        """Write a file unless it exists.

        The name appears only after the bytes have reached the disk, so a crash at any moment leaves either no
        file of that name or the complete one. On return, the name has reached the disk too, so even after a
        power failure no record names files that are lost.
        """
        self.write_all_once({name: data})

    def write_all_once(self, files: Mapping[str, bytes]) -> None:
        """Write files as with `write_once`, but wait for the disk only once for all names in a folder.

        All bytes go to the system before the wait, so that a journal can write them together.
        """
        folders = {}
        with contextlib.ExitStack() as stack:
            temporaries = {}
            for name, data in files.items():
                with self._using(name):
                    temporaries[name] = stack.enter_context(self._temporary(self.path / name, data))
            for name, temporary in temporaries.items():
                target = self.path / name
                # Also for a file that is there already: its writer may not have waited for the disk yet.
                folders[target.parent] = name
                with self._using(name), contextlib.suppress(FileExistsError):
                    _sync(temporary)
                    self._link(temporary, target)
        for folder, name in folders.items():
            with self._using(name):
                _sync(folder)

    def replace(self, name: str, data: bytes) -> None:
        target = self.path / name
        with self._using(name), self._temporary(target, data) as temporary:
            _sync(temporary)
            os.replace(temporary, target)
            _sync(target.parent)

    @contextlib.contextmanager
    def create(self, name: str, *, replace: bool = False) -> Iterator[BinaryIO]:
        """Open a file that gets its name when the block ends."""
        target = self.path / name
        there = self.exists(name) and not replace
        if there:
            raise FileExistsError(self.at(name))
        with self._using(name), self._temporary(target, b"") as temporary:
            with open(temporary, "r+b") as file:
                yield file
            _sync(temporary)
            if replace:
                os.replace(temporary, target)
            else:
                try:
                    self._link(temporary, target)
                except FileExistsError:
                    there = True
            _sync(target.parent)
        if there:
            raise FileExistsError(self.at(name))

    @staticmethod
    def _link(temporary: pathlib.Path, target: pathlib.Path) -> None:
        """Name a file unless there is one of this name; raise FileExistsError then."""
        try:
            os.link(temporary, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A file system without links, as FAT and bucket mounts are: still whole or not at all.
            if target.exists():
                raise FileExistsError(error.errno, error.strerror, str(target)) from error
            os.replace(temporary, target)

    def read(self, name: str) -> bytes:
        with self._using(name, missing=True):
            return read_regular_file(self.path / name)

    def exists(self, name: str) -> bool:
        return os.path.lexists(self.path / name)

    def written(self, name: str) -> datetime.datetime:
        with self._using(name, missing=True):
            return datetime.datetime.fromtimestamp((self.path / name).stat().st_mtime, datetime.UTC)

    def names(self, folder: str) -> set[str]:
        try:
            with self._using(folder, missing=True):
                return set(os.listdir(self.path / folder))
        except FileNotFoundError:
            return set()

    def walk(self, folder: str = "") -> Iterator[str]:
        for below, _, files in os.walk(self.path / folder):
            yield from (os.path.relpath(os.path.join(below, file), self.path) for file in files)

    def folders(self) -> set[str]:
        return {name for name in self.names("") if (self.path / name).is_dir()}

    def delete(self, name: str) -> None:
        """Remove a file and the folders that become empty."""
        target = self.path / name
        with self._using(name):
            target.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            for folder in target.relative_to(self.path).parents[:-1]:
                (self.path / folder).rmdir()

    @contextlib.contextmanager
    def hold(self) -> Iterator["_Lock"]:
        """Lock the folder; the system releases the lock if the process dies."""
        new = not self.path.exists()
        self.claim()
        handle = self._lock()
        lock = _Lock(self.path / LOCK, handle)
        try:
            yield lock
        finally:
            # Unlinked while it is locked: a process that opened it before sees that it is stale.
            if lock.is_held():
                lock.path.unlink(missing_ok=True)
            os.close(handle)
            if new:
                with contextlib.suppress(OSError):
                    self.path.rmdir()  # nothing was written

    def _lock(self) -> int:
        while True:
            try:
                lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                self.claim()  # the launcher before this one has just removed the folder that it had made
                continue
            except OSError as error:
                raise self._refusal("cannot lock the output folder", error) from error
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(lock), os.stat(self.path / LOCK)):
                        return lock
            except BlockingIOError as error:
                os.close(lock)
                raise held_error(self.place) from error
            except OSError as error:
                os.close(lock)
                raise self._refusal("cannot lock the output folder", error) from error
            os.close(lock)  # the launcher before this one has just removed it

    def check(self, finished: str) -> None:
        """Raise UserError for a folder that is not empty or cannot be listed."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError("the output is a file, not a folder", value=self.place, hint="name a folder")
        done = used = False
        try:
            done = self.exists(finished)
            # Leftovers of a launcher that was killed before its run began do not count.
            used = any(name != LOCK and not _is_temporary(name) for name in os.listdir(self.path))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._refusal("cannot list the output folder", error) from error
        refuse_used(self.place, finished=done, used=used)

    def claim(self) -> None:
        """Create the folder and check that it is writable."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with _temporary_beside(self.path / "claim", b""):
                pass
        except OSError as error:
            raise self._refusal("cannot write to the output folder", error) from error

    def interrupt(self) -> None:
        """Do nothing: disks are not retried."""

    @contextlib.contextmanager
    def _temporary(self, target: pathlib.Path, data: bytes) -> Iterator[pathlib.Path]:
        # Its sub-folders are made as they are needed; the folder itself only by `claim`, so that nobody goes
        # on in a folder that was removed.
        for folder in reversed(target.relative_to(self.path).parents[:-1]):
            with contextlib.suppress(FileExistsError):
                (self.path / folder).mkdir()
        with _temporary_beside(target, data) as temporary:
            yield temporary

    @contextlib.contextmanager
    def _using(self, name: str, *, missing: bool = False) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if missing and isinstance(error, (FileNotFoundError, NotADirectoryError)):
                raise FileNotFoundError(error.errno, error.strerror, error.filename) from error
            if not self.path.is_dir():
                raise _removed(self.path) from error
            problem = f"cannot read or write the output ({error.strerror})"
            hint = "make room, or check the disk"
            raise StorageError(problem, value=self.at(name), hint=hint) from error

    def _refusal(self, problem: str, error: OSError) -> UserError:
        return UserError(f"{problem} ({error.strerror})", value=self.place, hint="choose another folder")


def _removed(folder: pathlib.Path) -> StorageError:
    return StorageError(
        "the output folder was removed", value=str(folder), hint="restore it, or run again into a new one"
    )


def _sync(path: pathlib.Path) -> None:
    """Wait until the disk has a file's bytes, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        # Mounts of buckets and the like cannot sync folders.
        if error.errno != errno.EINVAL or not stat.S_ISDIR(os.fstat(handle).st_mode):
            raise
    finally:
        os.close(handle)


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


@contextlib.contextmanager
def _temporary_beside(target: pathlib.Path, data: bytes) -> Iterator[pathlib.Path]:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
