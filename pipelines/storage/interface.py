"""What the job asks of any storage."""

from typing import Protocol


class OutputFolder(Protocol):
    """A folder that a run writes to. Names within it use `/`."""

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

    def names(self, folder: str) -> set[str]:
        """Returns the names of the files in a folder of the folder, without the folder's own."""

    def claim(self) -> None:
        """Makes the folder where folders are made.

        Raises:
            UserError: when it holds something, or cannot be written to.
        """
