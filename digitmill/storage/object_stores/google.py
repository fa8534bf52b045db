"""`gs://`: listed and written through google-cloud-storage, under the usual credentials."""

import contextlib
import dataclasses
import datetime
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

import google.auth
from google.api_core import exceptions as api
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from requests import exceptions as transport
from urllib3.exceptions import HTTPError

from digitmill.storage.interface import LOCK, refuse_used
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores.gs import EMULATOR, SCHEME, is_folder_marker
from digitmill.storage.object_stores.lease import Lease
from schemas.errors import ActionableError, StorageError, UserError

_SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write",)
_NO_PROJECT: Final = "no-project"
RETRY: Final = DEFAULT_RETRY.with_timeout(30)
"""A store that does not answer for so long is said to be out of reach, seconds."""

_FIELDS: Final = "items(name,size,generation,crc32c),nextPageToken"
_NAMES: Final = "items(name),nextPageToken"


@functools.cache
def credentials() -> Any:
    """Returns the application default credentials, or None where there are none: public buckets stay open."""
    try:
        return google.auth.default(scopes=_SCOPES)[0]
    except google.auth.exceptions.DefaultCredentialsError:
        return None


@functools.cache
def client() -> storage.Client:
    """Returns this process's client; it honours STORAGE_EMULATOR_HOST."""
    address = os.environ.get(EMULATOR)
    if address is not None:
        options = {} if "://" in address else {"api_endpoint": f"http://{address}"}
        return storage.Client(project=_NO_PROJECT, credentials=AnonymousCredentials(), client_options=options)
    found = credentials()
    if found is None:
        return storage.Client.create_anonymous_client()
    # Objects belong to buckets, not to projects: none need be configured to read and write them.
    return storage.Client(project=_NO_PROJECT, credentials=found)


def list_objects(
    bucket: str, *, prefix: str = "", start: str = "", end: str = "", most: int | None = None
) -> Iterator[ListedImage]:
    """Yields objects in the order of their names' UTF-8 bytes: name, size, generation and checksum.

    Args:
        bucket: its name.
        prefix: what every name begins with.
        start: least name, inclusive.
        end: greatest name, exclusive; empty for none.
        most: number of objects to stop after; None for all.

    Raises:
        UserError: when the bucket cannot be listed.
    """
    try:
        for blob in client().list_blobs(
            bucket,
            prefix=prefix or None,
            start_offset=start or None,
            end_offset=end or None,
            max_results=most,
            fields=_FIELDS,
            retry=RETRY,
        ):
            yield ListedImage(
                f"{SCHEME}{bucket}/{blob.name}",
                generation=blob.generation,
                size=blob.size,
                checksum=blob.crc32c or "",
            )
    except (api.GoogleAPIError, google.auth.exceptions.GoogleAuthError, transport.RequestException) as error:
        _refuse(f"{SCHEME}{bucket}/{prefix}", "a bucket can be listed", error)


def stat(bucket: str, name: str) -> ListedImage:
    """Returns an object as it is now.

    Raises:
        OSError: when there is none or it cannot be seen.
    """
    with _as_os_errors(name):
        blob = client().bucket(bucket).blob(name)
        blob.reload()
        return ListedImage(f"{SCHEME}{bucket}/{name}", blob.generation, blob.size, checksum=blob.crc32c or "")


def download(bucket: str, name: str, *, generation: int) -> bytes:
    """Returns an object's bytes in one request without retries; generation 0 is the newest.

    Raises:
        FileNotFoundError: when there is no such generation.
        PermissionError: when reading it is refused.
        OSError: for all else; the message holds `status code: N` where the store gave one.
    """
    with _as_os_errors(name):
        blob = client().bucket(bucket).blob(name, generation=generation or None)
        return blob.download_as_bytes(raw_download=True, checksum=None, retry=None)


@contextlib.contextmanager
def _as_os_errors(name: str) -> Iterator[None]:
    try:
        yield
    except api.NotFound as error:
        raise FileNotFoundError(name) from error
    except (api.Forbidden, api.Unauthorized, google.auth.exceptions.GoogleAuthError) as error:
        raise PermissionError(_one_line(error)) from error
    except api.GoogleAPIError as error:
        raise OSError(f"status code: {getattr(error, 'code', None)}: {_one_line(error)}") from error
    except HTTPError as error:  # urllib3's, which requests lets through while it streams a body
        raise ConnectionError(_one_line(error)) from error


def is_denied(error: BaseException | None) -> bool:
    """Whether a store has answered that we may not."""
    return isinstance(error, (api.Forbidden, api.Unauthorized))


def _refuse(
    place: str, rule: str, error: Exception, kind: Callable[..., ActionableError] = UserError
) -> NoReturn:
    remedies = {
        api.NotFound: "check the bucket's name",
        api.Forbidden: "grant storage.objects.list and .get, for an output also .create and .delete",
        api.Unauthorized: "log in with `gcloud auth application-default login`",
        google.auth.exceptions.RefreshError: "log in with `gcloud auth application-default login`",
    }
    hint = next(
        (text for known, text in remedies.items() if isinstance(error, known)), "check the connection"
    )
    raise kind(rule, value=place, hint=f"{hint}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


@dataclasses.dataclass(frozen=True)
class CloudFolder:
    """An `OutputFolder` in a bucket. An object appears whole or not at all by itself."""

    bucket: str
    prefix: str

    @property
    def place(self) -> str:
        """`gs://bucket/folder`."""
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")

    def at(self, name: str) -> str:
        """Returns an object's URI."""
        return f"{self.place}/{name}"

    def write_once(self, name: str, data: bytes) -> None:
        """Writes an object unless there is one of any generation."""
        # 412: it is there, be it from an earlier try or from this one's lost answer.
        with self._using(), contextlib.suppress(api.PreconditionFailed):
            self._upload(name, data, if_generation_match=0)

    def replace(self, name: str, data: bytes) -> None:
        """Writes an object in place of one that may be there."""
        with self._using():
            self._upload(name, data)

    def read(self, name: str) -> bytes:
        """Returns an object's bytes."""
        try:
            with self._using(missing=True):
                return self._blob(name).download_as_bytes(raw_download=True, retry=RETRY)
        except api.NotFound as error:
            raise FileNotFoundError(self.at(name)) from error

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        with self._using():
            return self._blob(name).exists(retry=RETRY)

    def written(self, name: str) -> datetime.datetime:
        """Returns when an object was written."""
        blob = self._blob(name)
        try:
            with self._using(missing=True):
                blob.reload(retry=RETRY)
        except api.NotFound as error:
            raise FileNotFoundError(self.at(name)) from error
        return blob.time_created.astimezone(datetime.UTC)

    def names(self, folder: str) -> set[str]:
        """Returns the names of the objects right below a sub-folder."""
        return {name for name in self._listed(f"{folder}/") if "/" not in name}

    def walk(self) -> Iterator[str]:
        """Yields every object's name within the folder."""
        yield from self._listed("")

    def folders(self) -> set[str]:
        """Returns what stands between the folder and the next slash of its objects' names."""
        prefix = self._name("")
        with self._using():
            listed = client().list_blobs(
                self.bucket, prefix=prefix, delimiter="/", fields="prefixes,nextPageToken", retry=RETRY
            )
            # Prefixes are known only when all pages have been asked for.
            for _ in listed.pages:
                pass
            return {name.removeprefix(prefix).rstrip("/") for name in listed.prefixes}

    def delete(self, name: str) -> None:
        """Removes an object."""
        with self._using(), contextlib.suppress(api.NotFound):
            self._blob(name).delete(retry=RETRY)

    @contextlib.contextmanager
    def hold(self) -> Iterator[Lease]:
        """Takes a lease on the folder; that of a launcher which died runs out."""
        lease = Lease(self._blob(LOCK), self.place, retry=RETRY)
        with self._using(kind=UserError):
            lease.take()
        try:
            yield lease
        finally:
            lease.give_back()

    def check(self, finished: str) -> None:
        """Refuses a folder that holds something or cannot be listed."""
        # The manifest, the folder's own marker and one more tell all cases apart.
        found = [
            image.uri
            for image in list_objects(self.bucket, prefix=self._name(""), most=1000)
            if not is_folder_marker(image) and image.uri != self.at(LOCK)
        ]
        refuse_used(self.place, finished=self.at(finished) in found, used=bool(found))

    def claim(self) -> None:
        """Does nothing: in a bucket there are no folders to make."""

    def _upload(self, name: str, data: bytes, *, if_generation_match: int | None = None) -> None:
        self._blob(name).upload_from_string(
            data, if_generation_match=if_generation_match, checksum="crc32c", retry=RETRY
        )

    def _listed(self, folder: str) -> Iterator[str]:
        prefix = self._name(folder)
        with self._using():
            for blob in client().list_blobs(self.bucket, prefix=prefix, fields=_NAMES, retry=RETRY):
                yield blob.name.removeprefix(prefix)

    @contextlib.contextmanager
    def _using(
        self, *, missing: bool = False, kind: Callable[..., ActionableError] = StorageError
    ) -> Iterator[None]:
        try:
            yield
        except api.PreconditionFailed:
            raise
        except (
            api.GoogleAPIError,
            google.auth.exceptions.GoogleAuthError,
            transport.RequestException,
        ) as error:
            if missing and isinstance(error, api.NotFound):
                raise
            _refuse(self.place, "the output can be read and written", error, kind)

    def _name(self, name: str) -> str:
        return f"{self.prefix.rstrip('/')}/{name}" if self.prefix else name

    def _blob(self, name: str) -> storage.Blob:
        return client().bucket(self.bucket).blob(self._name(name))
