"""Where a run's files go: a local folder, or a bucket to which a local folder is uploaded file by file.

TensorFlow and Keras write local files only; `digitmill.storage` keeps what is published.
"""

import dataclasses
import functools
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping
from typing import Final

from digitmill.storage import open_folder
from digitmill.storage.interface import Hold
from schemas.errors import UserError

_FUSE: Final = "/gcs/"
"""Where Vertex AI mounts all buckets. The mount has no atomic rename and hides failed writes, so that the
bucket itself is used."""

MODEL_DIR: Final = "AIP_MODEL_DIR"
CHECKPOINT_DIR: Final = "AIP_CHECKPOINT_DIR"
TENSORBOARD_DIR: Final = "AIP_TENSORBOARD_LOG_DIR"


@dataclasses.dataclass(frozen=True)
class LocalPlace:
    """A local folder, whose files are published as soon as they are written.

    Attributes:
        folder: where to write files.
    """

    folder: pathlib.Path

    @property
    def uri(self) -> str:
        """The folder's path."""
        return str(self.folder)

    def at(self, name: str) -> str:
        """Return a file's path."""
        return str(self.folder / name)

    def names(self, folder: str = "") -> list[str]:
        """Return the names of all files below a folder of the place, sorted."""
        found = (self.folder / folder).rglob("*")
        return sorted(path.relative_to(self.folder).as_posix() for path in found if path.is_file())

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.folder / name).is_file()

    def publish(self, *names: str) -> None:
        """Do nothing: the files are already in place."""

    def fetch(self, name: str) -> pathlib.Path:
        """Return the file's path."""
        return self.folder / name

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        (self.folder / name).unlink(missing_ok=True)


class BucketPlace:
    """A prefix of a bucket; objects appear complete or not at all."""

    def __init__(self, uri: str) -> None:
        self._bucket = open_folder(uri)

    @property
    def uri(self) -> str:
        """`gs://bucket/prefix` and the like."""
        return self._bucket.place

    @functools.cached_property
    def folder(self) -> pathlib.Path:
        """A temporary folder, deleted with the last reference to the place."""
        self._temporary = tempfile.TemporaryDirectory(prefix="digitmill-")
        return pathlib.Path(self._temporary.name)

    def at(self, name: str) -> str:
        """Return an object's address."""
        return self._bucket.at(name)

    def names(self, folder: str = "") -> list[str]:
        """Return the names of all objects below a folder."""
        return sorted(self._bucket.walk(folder))

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        return self._bucket.exists(name)

    def publish(self, *names: str) -> None:
        """Upload files, and all files of folders, in the given order; each is verified."""
        for name in names:
            path = self.folder / name
            for file in [path] if path.is_file() else sorted(filter(pathlib.Path.is_file, path.rglob("*"))):
                self._bucket.replace(file.relative_to(self.folder).as_posix(), file.read_bytes())

    def fetch(self, name: str) -> pathlib.Path:
        """Download an object and return the copy."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            file.write_bytes(self._bucket.read(name))
        except FileNotFoundError as error:
            raise UserError("file not found", value=self.at(name), hint="check the place") from error
        return file

    def remove(self, name: str) -> None:
        """Remove an object, and its local copy."""
        (self.folder / name).unlink(missing_ok=True)
        self._bucket.delete(name)


Place = LocalPlace | BucketPlace
"""A folder of files with relative names; files in its local `folder` are visible to others once published."""


def run_place(where: str | os.PathLike[str]) -> Place:
    """Return the place at a path or address, without reading or creating anything.

    Args:
        where: a local path, `gs://BUCKET/FOLDER` or the like of another store, or Vertex AI's
            `/gcs/BUCKET/FOLDER` for `gs://BUCKET/FOLDER`.

    Raises:
        UserError: if the address has an unknown scheme.
    """
    text = os.fspath(where)
    if text.startswith(_FUSE):
        text = "gs://" + text.removeprefix(_FUSE)
    return BucketPlace(text) if "://" in text else LocalPlace(pathlib.Path(text))


@dataclasses.dataclass(frozen=True)
class Places:
    """Where the parts of one run go.

    Attributes:
        run: history, report and bundle.
        checkpoints: checkpoints.
        tensorboard: TensorBoard's event files.
        serving: where a serving system expects the SavedModel; None for nowhere.
        hold: this process's hold on the run folder; None in processes that do not write to it.
    """

    run: Place
    checkpoints: Place
    tensorboard: Place
    serving: Place | None = None
    hold: Hold | None = None

    def confirm(self) -> None:
        """Raise StorageError if another run has taken over the folder."""
        if self.hold is not None:
            self.hold.confirm()


def of_run(output: str | os.PathLike[str], environment: Mapping[str, str]) -> Places:
    """Return the places of a run, taking Vertex AI's environment variables into account.

    Args:
        output: the run folder; `AIP_MODEL_DIR` if empty.
        environment: the process's environment variables.

    Raises:
        UserError: if no run folder is given, or its address has an unknown scheme.
    """
    named = os.fspath(output) or environment.get(MODEL_DIR, "")
    if not named:
        raise UserError("no run folder is given", value="", hint=f"give --output, or set {MODEL_DIR}")

    def part(variable: str, name: str) -> Place:
        return run_place(environment.get(variable) or f"{named.rstrip('/')}/{name}")

    serving = environment.get(MODEL_DIR)
    return Places(
        run=run_place(named),
        checkpoints=part(CHECKPOINT_DIR, "checkpoints"),
        tensorboard=part(TENSORBOARD_DIR, "tensorboard"),
        serving=run_place(serving) if serving else None,
    )


def copy_folder(source: pathlib.Path, target: Place) -> None:
    """Copy the files of a local folder into a place, and publish them."""
    shutil.copytree(source, target.folder, dirs_exist_ok=True)
    target.publish("")
