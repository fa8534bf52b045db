"""Buckets of `gs://`, written under conditions on generations; every upload is held to its CRC32C."""

import contextlib
import dataclasses
import datetime
from collections.abc import Iterator
from typing import Any, Final

from google.api_core import exceptions as api
from google.cloud import storage

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores import google
from digitmill.storage.object_stores.bucket import ABSENT
from digitmill.storage.object_stores.google import as_store_errors, client, iterate_objects

_HASTE: Final = 10.0
"""Seconds that a store may take to answer where nobody waits for longer."""


@dataclasses.dataclass(frozen=True)
class GoogleBucket:
    """A `Bucket` of Google Cloud Storage."""

    bucket: str

    def list(self, prefix: str, *, most: int | None = None, after: str = "") -> Iterator[ListedImage]:
        start = f"{after}\0" if after else ""
        return iterate_objects(self.bucket, prefix=prefix, start=start, most=most)

    def folders(self, prefix: str) -> set[str]:
        with as_store_errors():
            listed = client().list_blobs(
                self.bucket, prefix=prefix, delimiter="/", fields="prefixes,nextPageToken", retry=google.RETRY
            )
            # Prefixes are known only when all pages have been fetched.
            for _ in listed.pages:
                pass
            return {name.removeprefix(prefix).rstrip("/") for name in listed.prefixes}

    def read(self, name: str) -> bytes:
        with as_store_errors():
            try:
                return self._blob(name).download_as_bytes(raw_download=True, retry=google.RETRY)
            except api.NotFound as error:
                raise FileNotFoundError(name) from error

    def read_version(self, name: str, *, patient: bool = True) -> tuple[str, bytes] | None:
        blob = self._blob(name)
        with as_store_errors():
            try:
                blob.reload(**_options(patient))
                content = blob.download_as_bytes(if_generation_match=blob.generation, **_options(patient))
            except (api.NotFound, api.PreconditionFailed):
                return None
            return str(blob.generation), content

    def written(self, name: str) -> datetime.datetime | None:
        blob = self._blob(name)
        with as_store_errors():
            try:
                blob.reload(retry=google.RETRY)
            except api.NotFound:
                return None
            return blob.time_created.astimezone(datetime.UTC)

    def write(
        self, name: str, data: bytes, *, expected: str | None = None, patient: bool = True
    ) -> str | None:
        blob = self._blob(name)
        generation = None if expected is None else 0 if expected == ABSENT else int(expected)
        with as_store_errors():
            try:
                blob.upload_from_string(
                    data,
                    if_generation_match=generation,
                    checksum="crc32c",
                    **_options(patient),
                )
            except api.PreconditionFailed:
                return None
            return str(blob.generation)

    def delete(self, name: str) -> None:
        with as_store_errors(), contextlib.suppress(api.NotFound):
            self._blob(name).delete(retry=google.RETRY)

    def release(self, name: str, version: str) -> None:
        """Remove a generation."""
        with as_store_errors(), contextlib.suppress(api.NotFound, api.PreconditionFailed):
            # The generation is named as well: fake-gcs-server ignores the condition of a deletion.
            blob = client().bucket(self.bucket).blob(name, generation=int(version))
            blob.delete(if_generation_match=int(version), **_options(patient=False))

    def _blob(self, name: str) -> storage.Blob:
        return client().bucket(self.bucket).blob(name)


def _options(patient: bool) -> dict[str, Any]:
    return {"retry": google.RETRY} if patient else {"retry": None, "timeout": _HASTE}
