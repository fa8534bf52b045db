"""Where a run's files go: a local folder, or a bucket that a local folder is copied to, file by file."""

import dataclasses
import functools
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping
from typing import Final, Protocol

from schemas.errors import UserError
from trainer.files.buckets import Bucket
from trainer.files.files import CLOUD

_FUSE: Final = "/gcs/"
"""Where Vertex mounts all buckets. The mount has no atomic rename and tells of no failed write, so the
bucket itself is used."""

MODEL_DIR: Final = "AIP_MODEL_DIR"
CHECKPOINT_DIR: Final = "AIP_CHECKPOINT_DIR"
TENSORBOARD_DIR: Final = "AIP_TENSORBOARD_LOG_DIR"


class Place(Protocol):
    """A folder of files by relative name. What is in `folder` is there for others once published."""

    @property
    def uri(self) -> str:
        """The place as users name it."""
        ...

    @property
    def folder(self) -> pathlib.Path:
        """The local folder to write into."""
        ...

    def at(self, name: str) -> str:
        """Returns a file's full name, for messages."""
        ...

    def names(self, folder: str = "") -> list[str]:
        """Returns the names of all published files below a folder of the place, sorted."""
        ...

    def exists(self, name: str) -> bool:
        """Whether a file is published."""
        ...

    def publish(self, *names: str) -> None:
        """Makes files of the local folder, or all below a folder of it, part of the place; verified."""
        ...

    def fetch(self, name: str) -> pathlib.Path:
        """Returns a local copy of a published file."""
        ...

    def remove(self, name: str) -> None:
        """Removes a file that may be gone already."""
        ...


@dataclasses.dataclass(frozen=True)
class LocalPlace:
    """A folder of this machine; what is written is published."""

    folder: pathlib.Path

    @property
    def uri(self) -> str:
        """The folder's path."""
        return str(self.folder)

    def at(self, name: str) -> str:
        """Returns a file's path."""
        return str(self.folder / name)

    def names(self, folder: str = "") -> list[str]:
        """Returns the names of all files below a folder."""
        found = (self.folder / folder).rglob("*")
        return sorted(path.relative_to(self.folder).as_posix() for path in found if path.is_file())

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.folder / name).is_file()

    def publish(self, *names: str) -> None:
        """Does nothing: the files are where they belong."""

    def fetch(self, name: str) -> pathlib.Path:
        """Returns the file's path."""
        return self.folder / name

    def remove(self, name: str) -> None:
        """Removes a file that may be gone already."""
        (self.folder / name).unlink(missing_ok=True)


class BucketPlace:
    """A prefix of a bucket. An object appears whole or not at all by itself."""

    def __init__(self, uri: str) -> None:
        self._bucket = Bucket(uri)

    @property
    def uri(self) -> str:
        """`gs://bucket/prefix`."""
        return self._bucket.uri()

    @functools.cached_property
    def folder(self) -> pathlib.Path:
        """A temporary folder, gone with the process's last reference to the place."""
        self._temporary = tempfile.TemporaryDirectory(prefix="digitmill-")
        return pathlib.Path(self._temporary.name)

    def at(self, name: str) -> str:
        """Returns an object's address."""
        return self._bucket.uri(name)

    def names(self, folder: str = "") -> list[str]:
        """Returns the names of all objects below a folder."""
        return self._bucket.names(folder)

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        return self._bucket.exists(name)

    def publish(self, *names: str) -> None:
        """Uploads files, and all files below folders, in the order given; each is verified."""
        for name in names:
            path = self.folder / name
            files = (
                [path] if path.is_file() else sorted(below for below in path.rglob("*") if below.is_file())
            )
            for file in files:
                self._bucket.upload(file, file.relative_to(self.folder).as_posix())

    def fetch(self, name: str) -> pathlib.Path:
        """Downloads an object and returns the copy."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        self._bucket.download(name, file)
        return file

    def remove(self, name: str) -> None:
        """Removes an object, and its local copy."""
        (self.folder / name).unlink(missing_ok=True)
        self._bucket.remove(name)


def open_place(where: str | os.PathLike[str]) -> Place:
    """Returns the place that a path or address names; nothing is read or made yet.

    Args:
        where: a local path, `gs://BUCKET/FOLDER`, or Vertex's `/gcs/BUCKET/FOLDER`, which is the same.

    Raises:
        UserError: when it is an address of another kind.
    """
    text = os.fspath(where)
    if text.startswith(_FUSE):
        text = CLOUD + text.removeprefix(_FUSE)
    if text.startswith(CLOUD):
        return BucketPlace(text)
    if "://" in text:
        raise UserError(
            "a run is written to a local folder or to gs://",
            value=text,
            hint="copy the run folder afterwards",
        )
    return LocalPlace(pathlib.Path(text))


@dataclasses.dataclass(frozen=True)
class Places:
    """Where the parts of one run go.

    Attributes:
        run: history, report and bundle.
        checkpoints: the checkpoints.
        tensorboard: TensorBoard's event files.
        serving: where a service looks for the SavedModel itself; None when none asked.
    """

    run: Place
    checkpoints: Place
    tensorboard: Place
    serving: Place | None = None


def of_run(output: str | os.PathLike[str], environment: Mapping[str, str]) -> Places:
    """Returns the places of a run, those that Vertex names in the environment among them.

    Args:
        output: the run folder; `AIP_MODEL_DIR` when empty.
        environment: the process's.

    Raises:
        UserError: when there is no run folder, or one of another kind.
    """
    named = os.fspath(output) or environment.get(MODEL_DIR, "")
    if not named:
        raise UserError("a run has a folder", value="", hint=f"give --output, or set {MODEL_DIR}")

    def part(variable: str, name: str) -> Place:
        return open_place(environment.get(variable) or f"{named.rstrip('/')}/{name}")

    serving = environment.get(MODEL_DIR)
    return Places(
        run=open_place(named),
        checkpoints=part(CHECKPOINT_DIR, "checkpoints"),
        tensorboard=part(TENSORBOARD_DIR, "tensorboard"),
        serving=open_place(serving) if serving else None,
    )


def copy_folder(source: pathlib.Path, target: Place) -> None:
    """Copies what is below a local folder into a place, and publishes it."""
    target.folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target.folder, dirs_exist_ok=True)
    files = (path for path in source.rglob("*") if path.is_file())
    target.publish(*sorted(path.relative_to(source).as_posix() for path in files))
