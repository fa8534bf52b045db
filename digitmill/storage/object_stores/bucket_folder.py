"""Output folders in buckets: objects are written whole or not at all by the stores themselves."""

import contextlib
import dataclasses
import datetime
import functools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

from digitmill.storage.interface import LOCK, refuse_used
from digitmill.storage.object_stores.bucket import ABSENT, Bucket, StoreError
from digitmill.storage.object_stores.lease import Lease
from digitmill.storage.object_stores.uris import is_folder_marker, split
from digitmill.storage.read_limits import RETRY_SECONDS
from schemas.errors import ActionableError, StorageError, UserError


@functools.cache
def open_bucket(scheme: str, bucket: str, retry_seconds: float = RETRY_SECONDS) -> Bucket:
    """Return this process's client for a bucket of `gs`, `s3` or `az`; no request is made yet.

    Requests are retried for `retry_seconds`.
    """
    # Google's client takes 0.4 s to import.
    if scheme == "gs":
        from digitmill.storage.object_stores.google_bucket import GoogleBucket

        return GoogleBucket(bucket, retry_seconds)
    from digitmill.storage.object_stores.obstore_bucket import ObstoreBucket

    return ObstoreBucket(scheme, bucket, retry_seconds)


@dataclasses.dataclass(frozen=True)
class BucketFolder:
    """An `OutputFolder` in a bucket of `gs`, `s3` or `az`."""

    scheme: str
    bucket: str
    prefix: str
    retry_seconds: float = RETRY_SECONDS

    @property
    def place(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")

    def at(self, name: str) -> str:
        return f"{self.place}/{name}"

    def write_once(self, name: str, data: bytes) -> None:
        with self._using():
            self._objects.write(self._key(name), data, expected=ABSENT)

    def write_all_once(self, files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            self.write_once(name, data)

    def replace(self, name: str, data: bytes) -> None:
        with self._using():
            self._objects.write(self._key(name), data)

    @contextlib.contextmanager
    def create(self, name: str, *, replace: bool = False) -> Iterator[BinaryIO]:
        """Open a temporary file that is sent when the block ends."""
        if not replace and self.exists(name):
            raise FileExistsError(self.at(name))
        with self._spooled() as file:
            yield file
            with self._using():
                written = self._objects.write_file(self._key(name), file, replace=replace)
        if not written:
            raise FileExistsError(self.at(name))

    @staticmethod
    @contextlib.contextmanager
    def _spooled() -> Iterator[BinaryIO]:
        try:
            with tempfile.TemporaryFile() as file:
                yield file
        except OSError as error:
            raise StorageError(
                "cannot write a temporary file",
                value=tempfile.gettempdir(),
                hint=f"make room, or name another folder by TMPDIR: {error.strerror}",
            ) from error

    def read(self, name: str) -> bytes:
        with self._using():
            try:
                return self._objects.read(self._key(name))
            except FileNotFoundError as error:
                raise FileNotFoundError(self.at(name)) from error

    def exists(self, name: str) -> bool:
        with self._using():
            return self._objects.written(self._key(name)) is not None

    def written(self, name: str) -> datetime.datetime:
        with self._using():
            found = self._objects.written(self._key(name))
        if found is None:
            raise FileNotFoundError(self.at(name))
        return found

    def names(self, folder: str) -> set[str]:
        start = f"{folder}/"
        below = (name.removeprefix(start) for name in self.walk(folder))
        return {name for name in below if "/" not in name}

    def walk(self, folder: str = "") -> Iterator[str]:
        cut = len(self._key(""))
        with self._using():
            for image in self._objects.list(self._key(f"{folder}/" if folder else "")):
                yield split(image.uri)[2][cut:]

    def folders(self) -> set[str]:
        with self._using():
            return self._objects.folders(self._key(""))

    def delete(self, name: str) -> None:
        with self._using():
            self._objects.delete(self._key(name))

    @contextlib.contextmanager
    def hold(self) -> Iterator[Lease]:
        """Take a lease on the folder; the lease of a dead launcher expires."""
        lease = Lease(self._objects, self._key(LOCK), self.place)
        with self._using(UserError):
            lease.take()
        try:
            yield lease
        finally:
            lease.give_back()

    def check(self, finished: str) -> None:
        """Raise UserError for a folder that is not empty or cannot be listed."""
        with self._using(UserError):
            used = any(
                not is_folder_marker(image) and image.uri != self.at(LOCK)
                for image in self._objects.list(self._key(""), most=1000)
            )
            # Asked for by name: among many objects it may come late.
            done = used and self._objects.written(self._key(finished)) is not None
        refuse_used(self.place, finished=done, used=used)

    def claim(self) -> None:
        """Do nothing: buckets have no folders to create."""

    def interrupt(self) -> None:
        self._objects.interrupt()

    @property
    def _objects(self) -> Bucket:
        return open_bucket(self.scheme, self.bucket, self.retry_seconds)

    def _key(self, name: str) -> str:
        return f"{self.prefix.rstrip('/')}/{name}" if self.prefix else name

    @contextlib.contextmanager
    def _using(self, kind: Callable[..., ActionableError] = StorageError) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            raise kind("cannot read or write the output", value=self.place, hint=error.hint) from error
