"""`gs://`: files read and written through google-cloud-storage, each write verified.

TensorFlow's own `gs://` knows no emulator, retries for minutes where a right is missing, and says nothing
of checksums; this client is a dependency of scoring anyway.
"""

import base64
import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any, Final

import google.auth
import google_crc32c
from google.api_core import exceptions as api
from requests import exceptions as transport

from schemas.errors import JobFailedError, UserError
from trainer.files import gcs
from trainer.files.files import CLOUD

_CHUNK: Final = 1 << 20


class RemoteWriteError(JobFailedError):
    """What was written to a bucket is not there, or not what was written."""


class Bucket:
    """The objects below one `gs://bucket/prefix`.

    Raises:
        UserError: when the address names no bucket.
    """

    def __init__(self, uri: str) -> None:
        self._bucket, prefix = gcs.split(uri)
        self._prefix = prefix.strip("/")

    def uri(self, name: str = "") -> str:
        """Returns an object's address, or that of the place itself."""
        return CLOUD + "/".join(part for part in (self._bucket, self._prefix, name) if part)

    def names(self, folder: str = "") -> list[str]:
        """Returns the names of all objects below a folder, relative to the place."""
        below = self._key(f"{folder}/" if folder else "")
        cut = len(f"{self._prefix}/") if self._prefix else 0
        with _explained(self.uri(folder)):
            return sorted(
                blob.name[cut:]
                for blob in gcs.client(gcs.WRITE).list_blobs(self._bucket, prefix=below or None)
            )

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        with _explained(self.uri(name)):
            return self._blob(name).exists()

    def upload(self, file: pathlib.Path, name: str) -> None:
        """Writes an object, and asks the store what it now holds.

        Raises:
            RemoteWriteError: when size or checksum are not the file's.
        """
        size, checksum = file.stat().st_size, crc32c(file)
        with _explained(self.uri(name)):
            blob = self._blob(name)
            blob.upload_from_filename(str(file), checksum="crc32c")
            stored = gcs.client(gcs.WRITE).bucket(self._bucket).get_blob(blob.name)
        if stored is None or (stored.size, stored.crc32c) != (size, checksum):
            raise RemoteWriteError(f"{self.uri(name)} is not what was written to it; write it again")

    def download(self, name: str, file: pathlib.Path) -> None:
        """Fetches an object, held to its checksum."""
        with _explained(self.uri(name)):
            self._blob(name).download_to_filename(str(file), checksum="crc32c")

    def remove(self, name: str) -> None:
        """Removes an object that may be gone already."""
        with _explained(self.uri(name)), contextlib.suppress(api.NotFound):
            self._blob(name).delete()

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _blob(self, name: str) -> Any:
        return gcs.client(gcs.WRITE).bucket(self._bucket).blob(self._key(name))


def crc32c(file: pathlib.Path) -> str:
    """Returns a file's checksum as the store spells it: big-endian, base64."""
    checksum = google_crc32c.Checksum()
    with file.open("rb") as opened:
        for _ in checksum.consume(opened, _CHUNK):
            pass
    return base64.b64encode(checksum.digest()).decode()


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    try:
        yield
    except (
        api.GoogleAPIError,
        google.auth.exceptions.GoogleAuthError,
        transport.RequestException,
    ) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(
            "a bucket can be listed, read and written",
            value=uri,
            hint=f"check its name and your rights: {said}",
        ) from error
