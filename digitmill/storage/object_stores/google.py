"""`gs://`: objects listed, looked up and read through google-cloud-storage, under the usual credentials."""

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any, Final

import google.auth
from google.api_core import exceptions as api
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY
from requests import exceptions as transport
from urllib3.exceptions import HTTPError

from digitmill.storage.listed_image import ListedImage, bounded_generation
from digitmill.storage.object_stores.bucket import StoreError
from digitmill.storage.object_stores.uris import EMULATOR, GS
from schemas.errors import UserError

_SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write",)
_NO_PROJECT: Final = "no-project"
RETRY: Final = DEFAULT_RETRY.with_timeout(30)
"""Retries end after 30 s; the store then counts as unreachable."""

_FIELDS: Final = "items(name,size,generation,crc32c),nextPageToken"

_LOGIN: Final = "log in with `gcloud auth application-default login`"

_REMEDIES: Final = {
    api.NotFound: "check the bucket's name",
    api.Forbidden: "grant storage.objects.list and .get, for an output also .create and .delete",
    api.Unauthorized: _LOGIN,
    google.auth.exceptions.RefreshError: _LOGIN,
}


@functools.cache
def credentials() -> Any:
    """Return the application default credentials, or None where there are none: public buckets stay open."""
    try:
        return google.auth.default(scopes=_SCOPES)[0]
    except google.auth.exceptions.DefaultCredentialsError:
        return None


@functools.cache
def client() -> storage.Client:
    """Return this process's client; it honours STORAGE_EMULATOR_HOST."""
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
    """Yield objects in the order of their names' UTF-8 bytes, from `start` to before `end`.

    Raises:
        UserError: when the bucket cannot be listed.
    """
    try:
        yield from iterate_objects(bucket, prefix=prefix, start=start, end=end, most=most)
    except StoreError as error:
        raise UserError("cannot list the bucket", value=f"{GS}{bucket}/{prefix}", hint=error.hint) from error


def iterate_objects(
    bucket: str, *, prefix: str = "", start: str = "", end: str = "", most: int | None = None
) -> Iterator[ListedImage]:
    """Yield the same as `list_objects`; raise StoreError when the bucket cannot be listed."""
    with as_store_errors():
        for blob in client().list_blobs(
            bucket,
            prefix=prefix or None,
            start_offset=start or None,
            end_offset=end or None,
            max_results=most,
            fields=_FIELDS,
            retry=RETRY,
        ):
            yield _listed(bucket, blob)


def _listed(bucket: str, blob: storage.Blob) -> ListedImage:
    generation = bounded_generation(blob.generation or 0)
    return ListedImage(f"{GS}{bucket}/{blob.name}", generation, blob.size, checksum=blob.crc32c or "")


def stat(bucket: str, name: str) -> ListedImage:
    """Return an object as it is now; raise OSError when there is none or it cannot be seen."""
    with _as_os_errors(name):
        blob = client().bucket(bucket).blob(name)
        blob.reload()
        return _listed(bucket, blob)


def download(bucket: str, name: str, *, generation: int, most: int | None = None) -> bytes:
    """Return an object's bytes, or the first `most`, in one request; generation 0 is the newest.

    Raises:
        FileNotFoundError: when there is no such generation.
        PermissionError: when reading it is refused.
        OSError: for all else; the message holds `status code: N` where the store gave one.
    """
    with _as_os_errors(name):
        blob = client().bucket(bucket).blob(name, generation=generation or None)
        return blob.download_as_bytes(
            end=None if most is None else most - 1, raw_download=True, checksum=None, retry=None
        )


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


@contextlib.contextmanager
def as_store_errors() -> Iterator[None]:
    """Turn what Google's client raises into StoreError.

    A missing object is one as well; requests that can meet one catch NotFound within.
    """
    try:
        yield
    except (
        api.GoogleAPIError,
        google.auth.exceptions.GoogleAuthError,
        transport.RequestException,
        DataCorruption,
        HTTPError,
    ) as error:
        hint = next(
            (text for known, text in _REMEDIES.items() if isinstance(error, known)), "check the connection"
        )
        denied = isinstance(error, (api.Forbidden, api.Unauthorized))
        raise StoreError(_one_line(error), hint=hint, denied=denied) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
