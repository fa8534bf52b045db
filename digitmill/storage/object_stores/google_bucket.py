"""Buckets of `gs://`, written under conditions on generations; every upload is checked by CRC32C."""

import contextlib
import datetime
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, TypeVar

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores.bucket import ABSENT, StoreError
from digitmill.storage.object_stores.google import api, client, iterate_objects, pages, request, storage
from digitmill.storage.read_limits import RETRY_SECONDS
from schemas.errors import first_line

_TIMEOUT: Final = 60.0
"""Seconds that a store may take to answer."""

_HASTE: Final = 10.0
"""The same where nobody waits for longer."""

T = TypeVar("T")


class GoogleBucket:
    """A `Bucket` of Google Cloud Storage."""

    def __init__(self, bucket: str, retry_seconds: float = RETRY_SECONDS) -> None:
        self.bucket = bucket
        self._seconds = retry_seconds
        self._stop = threading.Event()

    def list(self, prefix: str, *, most: int | None = None, after: str = "") -> Iterator[ListedImage]:
        start = f"{after}\0" if after else ""
        return iterate_objects(
            self.bucket, prefix=prefix, start=start, most=most, seconds=self._seconds, stop=self._stop
        )

    def folders(self, prefix: str) -> set[str]:
        listed = pages(
            self.bucket,
            seconds=self._seconds,
            stop=self._stop,
            prefix=prefix,
            delimiter="/",
            fields="prefixes,nextPageToken",
        )
        found = {folder for page in listed for folder in page.get("prefixes", ())}
        return {name.removeprefix(prefix).rstrip("/") for name in found}

    def read(self, name: str) -> bytes:
        try:
            return self._request(
                lambda: self._blob(name).download_as_bytes(raw_download=True, retry=None, timeout=_TIMEOUT)
            )
        except api.NotFound as error:
            raise FileNotFoundError(name) from error

    def read_version(self, name: str, *, patient: bool = True) -> tuple[str, bytes] | None:
        timeout = _TIMEOUT if patient else _HASTE

        def get() -> tuple[str, bytes]:
            blob = self._blob(name)
            blob.reload(retry=None, timeout=timeout)
            content = blob.download_as_bytes(if_generation_match=blob.generation, retry=None, timeout=timeout)
            return str(blob.generation), content

        try:
            return self._request(get, patient=patient)
        except (api.NotFound, api.PreconditionFailed):
            return None

    def written(self, name: str) -> datetime.datetime | None:
        blob = self._blob(name)
        try:
            self._request(lambda: blob.reload(retry=None, timeout=_TIMEOUT))
        except api.NotFound:
            return None
        return blob.time_created.astimezone(datetime.UTC)

    def write(
        self, name: str, data: bytes, *, expected: str | None = None, patient: bool = True
    ) -> str | None:
        blob = self._blob(name)
        generation = None if expected is None else 0 if expected == ABSENT else int(expected)
        try:
            self._request(
                lambda: blob.upload_from_string(
                    data,
                    if_generation_match=generation,
                    checksum="crc32c",
                    retry=None,
                    timeout=_TIMEOUT if patient else _HASTE,
                ),
                patient=patient,
            )
        except api.PreconditionFailed:
            return None
        except api.NotFound as error:
            raise StoreError(first_line(error), hint="check the bucket's name") from error
        return str(blob.generation)

    def write_file(self, name: str, file: BinaryIO, *, replace: bool) -> bool:
        blob = self._blob(name)
        try:
            self._request(
                lambda: blob.upload_from_file(
                    file,
                    rewind=True,
                    if_generation_match=None if replace else 0,
                    checksum="crc32c",
                    retry=None,
                    timeout=_TIMEOUT,
                )
            )
        except api.PreconditionFailed:
            return False
        except api.NotFound as error:
            raise StoreError(first_line(error), hint="check the bucket's name") from error
        return True

    def delete(self, name: str) -> None:
        with contextlib.suppress(api.NotFound):
            self._request(lambda: self._blob(name).delete(retry=None, timeout=_TIMEOUT))

    def release(self, name: str, version: str) -> None:
        """Remove a generation."""
        # The generation is named as well: fake-gcs-server ignores the condition of a deletion.
        blob = client().bucket(self.bucket).blob(name, generation=int(version))
        with contextlib.suppress(api.NotFound, api.PreconditionFailed):
            self._request(
                lambda: blob.delete(if_generation_match=int(version), retry=None, timeout=_HASTE),
                patient=False,
            )

    def interrupt(self) -> None:
        self._stop, ended = threading.Event(), self._stop
        ended.set()

    def _blob(self, name: str) -> storage.Blob:
        return client().bucket(self.bucket).blob(name)

    def _request(self, call: Callable[[], T], *, patient: bool = True) -> T:
        return request(call, seconds=self._seconds, patient=patient, stop=self._stop)
