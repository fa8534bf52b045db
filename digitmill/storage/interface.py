"""The interface of output folders, local or in a bucket, and their common errors."""

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO, Final, Protocol

from schemas.errors import StorageError, UserError

LOCK: Final = ".launcher.lock"
"""Name of the file in an output folder that a launcher holds while it writes to the folder."""


class Hold(Protocol):
    """One launcher's hold on an output folder."""

    def confirm(self) -> None:
        """Raise StorageError when another launcher has taken over the folder."""


class OutputFolder(Protocol):
    """A folder that a run writes to. Names of files in it use `/`.

    On disk, the folder must exist before files are written. Only `hold` and `claim` create it, so that a run
    ends if its output is removed.

    Every method raises StorageError when the storage fails, unless documented otherwise.
    """

    @property
    def place(self) -> str:
        """The folder as users write it: a path, or `gs://bucket/folder`."""

    def at(self, name: str) -> str:
        """Return the location of a file in the folder, as users write it."""

    def write_once(self, name: str, data: bytes) -> None:
        """Write a file completely or not at all; keep an existing one."""

    def write_all_once(self, files: Mapping[str, bytes]) -> None:
        """Write files, by name, as with `write_once`; a crash may leave some of them."""

    def replace(self, name: str, data: bytes) -> None:
        """Write a file completely or not at all; replace an existing one."""

    def create(self, name: str, *, replace: bool = False) -> AbstractContextManager[BinaryIO]:
        """Context manager around a new file of any size, which appears when the block ends.

        If the block raises, there is no file. Files for a bucket that are too large for memory are stored in
        temporary files until they are sent.

        Raises:
            FileExistsError: when the file exists and may not be replaced.
        """

    def read(self, name: str) -> bytes:
        """Return a file's bytes; raise FileNotFoundError when it does not exist."""

    def exists(self, name: str) -> bool:
        """Whether a file of this name exists."""

    def written(self, name: str) -> datetime.datetime:
        """Return when a file was written; raise FileNotFoundError when it does not exist."""

    def names(self, folder: str) -> set[str]:
        """Return the names of the files directly in a sub-folder, without the sub-folder's own."""

    def walk(self, folder: str = "") -> Iterator[str]:
        """Yield the name of every file in the folder, or in one of its sub-folders, at any depth."""

    def folders(self) -> set[str]:
        """Return the names of the direct sub-folders."""

    def delete(self, name: str) -> None:
        """Remove a file, which need not exist."""

    def hold(self) -> AbstractContextManager[Hold]:
        """Lock the folder against other launchers; a local folder is created first.

        The hold of a launcher that died ends, however it died.

        Raises:
            UserError: when another launcher holds it, or it cannot be written to.
        """

    def check(self, finished: str) -> None:
        """Raise UserError unless the folder is empty or new; the file `finished` marks a finished run."""

    def claim(self) -> None:
        """Create the folder on disk, nothing in a bucket; raise UserError when it cannot be written to."""

    def interrupt(self) -> None:
        """End other threads' waits for the storage; their calls raise StorageError."""


@contextlib.contextmanager
def before_run() -> Iterator[None]:
    """Context manager that turns a StorageError into a UserError: before a run, the path is at fault."""
    try:
        yield
    except StorageError as error:
        raise UserError(error.error, value=error.value, hint=error.hint) from error


def refuse_used(place: str, *, finished: bool, used: bool) -> None:
    """Raise UserError when an output folder is used already."""
    if finished:
        raise UserError(
            "the output folder already holds a finished run",
            value=place,
            hint="name a new folder or delete the finished run",
        )
    if used:
        raise UserError(
            "the output folder is not empty", value=place, hint="name another folder or empty this one"
        )


def held_error(place: str, holder: str = "") -> UserError:
    """Return the error for a launcher that finds the folder held by another one."""
    return UserError(
        "another launcher is writing to this output",
        value=place,
        hint=f"wait until the other one{holder and f' ({holder})'} has ended, or stop it; then use --resume",
    )
