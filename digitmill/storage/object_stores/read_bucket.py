"""A bucket that a process reads from: its store with the newest credentials, and its observed state."""

import base64
import datetime
import io
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import google_crc32c
import obstore

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores.retries import TransientError, status_of
from digitmill.storage.object_stores.stores import HOURS, listed_object, make_store
from digitmill.storage.object_stores.uris import is_tidy

if TYPE_CHECKING:
    from obstore import GetOptions


REPORT_SECONDS: Final = 15.0
"""After so long it is reported that reads are retried: longer silence would look like a hang."""

_REPORT_AGAIN_SECONDS: Final = 60.0


class ReadBucket:
    """A bucket of `gs`, `s3` or `az`. Thread-safe.

    Methods raise the errors of obstore and `google.download`, and TransientError for damaged bytes.

    Attributes:
        canary: the last object that could be read, for testing whether reads still work.
        refused: number of reads that the store refused before any read succeeded.
        alone: number of reads that finally failed while others succeeded.
        lock: held while the bucket is examined.
        succeeded: when the last successful read was sent.
        examined: when an examination found that no read succeeds.
    """

    def __init__(self, scheme: str, bucket: str) -> None:
        self.scheme = scheme
        self.bucket = bucket
        self.canary: ListedImage | None = None
        self.refused = 0
        self.alone = 0
        self.lock = threading.Lock()
        self.succeeded = self.examined = float("-inf")
        self.store = make_store(scheme, bucket)
        self._patient_store: Any = None
        self._next_report = float("-inf")
        self._prefix = len(self.place)

    @property
    def place(self) -> str:
        return f"{self.scheme}://{self.bucket}/"

    def log_in_again(self, used: Any) -> None:
        """Replace the store that a request has used with one that has new credentials."""
        with self.lock:
            if self.store is used:
                self.store, self._patient_store = make_store(self.scheme, self.bucket), None

    def report(self, why: TransientError, *, began: float, until: float) -> None:
        """Report on standard error, once a minute, that reads keep failing and are retried."""
        now = time.monotonic()
        if now < max(began + REPORT_SECONDS, self._next_report):
            return
        self._next_report = now + _REPORT_AGAIN_SECONDS
        end = datetime.datetime.now() + datetime.timedelta(seconds=until - now)
        status = status_of(why.__cause__ or why)
        print(
            f"reads from {self.place} fail{status and f' ({status})'}: retrying until {end:%H:%M:%S}",
            file=sys.stderr,
            flush=True,
        )

    def read(self, image: ListedImage) -> bytes:
        """Return the bytes of an object in the listed version."""
        name = image.uri[self._prefix :]
        if self._is_untidy(name):
            data = _google().download(self.bucket, name, generation=image.generation)
        else:
            data = bytes(obstore.get(self.store, name, options=self._pin(image)).bytes())
        self._check_whole(image, size=len(data), crc32c=google_crc32c.value(data))
        return data

    def read_head(self, image: ListedImage, size: int) -> bytes:
        """Return an object's first bytes."""
        name = image.uri[self._prefix :]
        if self._is_untidy(name):
            return _google().download(self.bucket, name, generation=image.generation, most=size)
        options: GetOptions = {**self._pin(image), "range": (0, size)}
        return bytes(obstore.get(self.store, name, options=options).bytes())

    def read_to_file(self, image: ListedImage) -> BinaryIO:
        """Download an object to a temporary file, and return it open at its beginning."""
        name = image.uri[self._prefix :]
        if self._is_untidy(name):
            return io.BytesIO(self.read(image))
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        try:
            size = crc32c = 0
            for piece in obstore.get(self._for_large(), name, options=self._pin(image)).stream():
                size += file.write(piece)
                crc32c = google_crc32c.extend(crc32c, bytes(piece))
            self._check_whole(image, size=size, crc32c=crc32c)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def stat(self, name: str) -> ListedImage:
        """Return the current version of an object."""
        if self._is_untidy(name):
            return _google().stat(self.bucket, name)
        return listed_object(self.scheme, self.bucket, obstore.head(self.store, name))

    def _for_large(self) -> Any:
        """Return a store whose answers may take hours, as a large archive's does."""
        with self.lock:
            self._patient_store = self._patient_store or make_store(self.scheme, self.bucket, timeout=HOURS)
            return self._patient_store

    def _is_untidy(self, name: str) -> bool:
        """Whether only Google's client takes the name."""
        return self.scheme == "gs" and not is_tidy(name)

    def _pin(self, image: ListedImage) -> "GetOptions":
        """Return what lets only the version that was listed be read, where one was."""
        if self.scheme == "gs":
            return {"version": str(image.generation)} if image.generation else {}
        return {"if_match": image.checksum} if image.checksum else {}

    def _check_whole(self, image: ListedImage, *, size: int, crc32c: int) -> None:
        if image.size not in (-1, size):
            raise TransientError(f"{size:,} of {image.size:,} bytes arrived", few=True)
        if image.checksum and self.scheme == "gs":
            arrived = base64.b64encode(crc32c.to_bytes(4)).decode()
            if arrived != image.checksum:
                raise TransientError(
                    f"the bytes have CRC32C {arrived}, listed was {image.checksum}", few=True
                )


def _google() -> Any:
    """Return the reader of the few names that obstore does not take, imported when one comes."""
    from digitmill.storage.object_stores import google

    return google
