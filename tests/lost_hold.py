"""A hold on a local output that is lost after a number of changes to the output."""

from collections.abc import Callable, Sequence

import pytest

from digitmill.storage.local_output import LocalFolder
from schemas.errors import StorageError


class LostHold:
    """A hold that another launcher has taken over once `most` changes are made."""

    def __init__(self, changes: Sequence[str], most: int) -> None:
        self._changes = changes
        self._most = most

    def confirm(self) -> None:
        if len(self._changes) >= self._most:
            raise StorageError("this launcher no longer holds its output", value="out", hint="leave it alone")


def watch_changes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which the name of every file is added that a local output replaces or deletes."""
    changes: list[str] = []

    def watched(real: Callable[..., None]) -> Callable[..., None]:
        def change(folder: LocalFolder, name: str, *data: bytes) -> None:
            changes.append(name)
            real(folder, name, *data)

        return change

    for method in ("replace", "delete"):
        monkeypatch.setattr(LocalFolder, method, watched(getattr(LocalFolder, method)))
    return changes
