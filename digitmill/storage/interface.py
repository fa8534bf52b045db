"""What the job asks of any storage."""

import datetime
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final, Protocol

from schemas.errors import UserError

LOCK: Final = ".launcher.lock"
"""Name of the file in an output folder that says that a launcher is at work on it."""


class Hold(Protocol):
    """One launcher's hold on an output folder."""

    def confirm(self) -> None:
        """Raises StorageError when another launcher has taken the folder over."""


class OutputFolder(Protocol):
    """A folder that a run writes to. Names within it use `/`.

    Once a run has begun, whatever the storage refuses to do is a StorageError.
    """

    @property
    def place(self) -> str:
        """The folder as people write it: a path, or `gs://bucket/folder`."""

    def at(self, name: str) -> str:
        """Returns the place of a file in the folder, as people write it."""

    def write_once(self, name: str, data: bytes) -> None:
        """Writes a file whole or not at all, and leaves one that is there already as it is."""

    def replace(self, name: str, data: bytes) -> None:
        """Writes a file whole or not at all, in place of one that is there already."""

    def read(self, name: str) -> bytes:
        """Returns a file's bytes; raises FileNotFoundError when there is none."""

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""

    def written(self, name: str) -> datetime.datetime:
        """Returns when a file was written; raises FileNotFoundError when there is none."""

    def names(self, folder: str) -> set[str]:
        """Returns the names of the files in a folder of the folder, without the folder's own."""

    def walk(self) -> Iterator[str]:
        """Yields the name of every file in the folder, to any depth."""

    def folders(self) -> set[str]:
        """Returns the names of the folders right below it."""

    def delete(self, name: str) -> None:
        """Removes a file; one that is not there is fine."""

    def hold(self) -> AbstractContextManager[Hold]:
        """Keeps other launchers off the folder, which is made where folders are made.

        A launcher that died holds nothing, however it died.

        Raises:
            UserError: when another launcher is at work on it, or it cannot be written to.
        """

    def check(self, finished: str) -> None:
        """Sees that the folder is free, before any work is done.

        Args:
            finished: name of the file that says that a run is finished.

        Raises:
            UserError: when it holds something, or cannot be seen.
        """

    def claim(self) -> None:
        """Makes the folder where folders are made.

        Raises:
            UserError: when it cannot be written to.
        """


def refuse_used(place: str, *, finished: bool, used: bool) -> None:
    """Raises UserError for a folder that is not free."""
    if finished:
        raise UserError(
            "an output folder holds one run", value=place, hint="name a new folder or delete the finished run"
        )
    if used:
        raise UserError(
            "an output folder is new or empty", value=place, hint="name another folder or empty this one"
        )


def refuse_held(place: str, holder: str = "") -> UserError:
    """Returns the error of a launcher that comes second."""
    return UserError(
        "one launcher at a time writes an output",
        value=place,
        hint=f"wait until the other one{holder and f' ({holder})'} has ended, or stop it, and use --resume",
    )
