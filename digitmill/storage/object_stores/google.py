"""`gs://`: objects listed, looked up and read through google-cloud-storage, under the usual credentials."""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from requests import exceptions as transport
from urllib3.exceptions import HTTPError

from digitmill.extras import missing
from digitmill.storage.listed_image import ListedImage, bounded_generation
from digitmill.storage.object_stores.bucket import LoginError, StoreError
from digitmill.storage.object_stores.retries import NEVER, ExhaustedError, TransientError, retry
from digitmill.storage.object_stores.uris import EMULATOR, GS
from digitmill.storage.read_limits import CONTACT_SECONDS, RETRY_SECONDS
from schemas.errors import UserError

try:
    import google.auth
    from google.api_core import exceptions as api
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage
    from google.cloud.storage.exceptions import DataCorruption
except ImportError as error:
    # Callers import this module once they have a place in gs://.
    raise missing("google.cloud.storage", wanted=GS) from error

_ERRORS: Final = (
    api.GoogleAPIError,
    google.auth.exceptions.GoogleAuthError,
    transport.RequestException,
    DataCorruption,
    HTTPError,
)

_SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write",)
_NO_PROJECT: Final = "no-project"
_READ_TIMEOUT: Final = 30.0
"""Seconds that a store may take to begin an answer, and to send each further piece."""

_RETRIED_STATUS: Final = (408, 429)

_FIELDS: Final = "items(name,size,generation,crc32c),nextPageToken"

_HOW_TO_LOG_IN: Final = "log in with `gcloud auth application-default login`"

_REMEDIES: Final = {
    api.NotFound: "check the bucket's name",
    api.Forbidden: "grant storage.objects.list and .get, for an output also .create and .delete",
    api.Unauthorized: _HOW_TO_LOG_IN,
    google.auth.exceptions.RefreshError: _HOW_TO_LOG_IN,
}

_LOGIN: Final = (api.Unauthorized, google.auth.exceptions.GoogleAuthError)

_PASSING: Final = (
    transport.ConnectionError,
    transport.Timeout,
    transport.ChunkedEncodingError,
    google.auth.exceptions.TransportError,
    DataCorruption,
    HTTPError,
)


T = TypeVar("T")


@functools.cache
def credentials() -> Any:
    """Return the application default credentials, or None: public buckets need none."""
    try:
        return google.auth.default(scopes=_SCOPES)[0]
    except google.auth.exceptions.DefaultCredentialsError:
        return None


@functools.cache
def client() -> storage.Client:
    """Return this process's client; it honors STORAGE_EMULATOR_HOST."""
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
    bucket: str,
    *,
    prefix: str = "",
    start: str = "",
    end: str = "",
    most: int | None = None,
    seconds: float = RETRY_SECONDS,
    stop: threading.Event = NEVER,
) -> Iterator[ListedImage]:
    """Yield the same as `list_objects`; raise StoreError when the bucket cannot be listed."""
    for page in pages(
        bucket,
        seconds=seconds,
        stop=stop,
        prefix=prefix or None,
        start_offset=start or None,
        end_offset=end or None,
        max_results=most,
        fields=_FIELDS,
    ):
        for item in page.get("items", ()):
            yield _listed(bucket, item)


def pages(
    bucket: str,
    *,
    max_results: int | None = None,
    seconds: float = RETRY_SECONDS,
    stop: threading.Event = NEVER,
    **options: Any,
) -> Iterator[dict[str, Any]]:
    """Yield the pages of a listing as JSON, because the client's object per entry would cost 20 us.

    Each page is retried for `seconds`, or for less if the bucket has never responded.

    Raises:
        StoreError: when the bucket cannot be listed.
    """
    token = None
    while True:
        # An iterator ends at an error, so each page has one of its own.
        get = functools.partial(_page, bucket, page_token=token, max_results=max_results, **options)
        patience = seconds if bucket in _answered() else min(seconds, CONTACT_SECONDS)
        try:
            listed, page = request(get, seconds=patience, stop=stop)
        except api.NotFound as error:
            raise _store_error(error, _one_line(error)) from error
        _answered().add(bucket)
        yield page
        token = listed.next_page_token
        if max_results is not None:
            max_results -= len(page.get("items", ()))
        if token is None or max_results == 0:
            return


@functools.cache
def _answered() -> set[str]:
    """Return the buckets that this process has listed."""
    return set()


def _page(bucket: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    listed = client().list_blobs(bucket, retry=None, **options)
    return listed, next(listed.pages).raw_page


def _listed(bucket: str, item: Mapping[str, Any]) -> ListedImage:
    generation = bounded_generation(int(item.get("generation", 0)))
    size, checksum = int(item.get("size", 0)), item.get("crc32c", "")
    return ListedImage(f"{GS}{bucket}/{item['name']}", generation, size, checksum=checksum)


def stat(bucket: str, name: str) -> ListedImage:
    """Return the current version of an object; raise OSError when it does not exist or is not accessible."""
    with _as_os_errors(name):
        blob = client().bucket(bucket).blob(name)
        blob.reload(retry=None)
        generation = bounded_generation(blob.generation or 0)
        return ListedImage(f"{GS}{bucket}/{name}", generation, blob.size, checksum=blob.crc32c or "")


def download(bucket: str, name: str, *, generation: int, most: int | None = None) -> bytes:
    """Return an object's bytes, or the first `most`, in one request; generation 0 is the newest.

    Raises:
        FileNotFoundError: when there is no such generation.
        PermissionError: when reading it is refused; LoginError, for lack of a valid login.
        OSError: for all else; the message holds `status code: N` where the store gave one.
    """
    with _as_os_errors(name):
        blob = client().bucket(bucket).blob(name, generation=generation or None)
        return blob.download_as_bytes(
            end=None if most is None else most - 1,
            raw_download=True,
            checksum=None,
            retry=None,
            timeout=_READ_TIMEOUT,
        )


@contextlib.contextmanager
def _as_os_errors(name: str) -> Iterator[None]:
    try:
        yield
    except api.NotFound as error:
        raise FileNotFoundError(name) from error
    except api.Forbidden as error:
        raise PermissionError(_one_line(error)) from error
    except _LOGIN as error:
        raise LoginError(_one_line(error)) from error
    except api.GoogleAPIError as error:
        raise OSError(f"status code: {getattr(error, 'code', None)}: {_one_line(error)}") from error
    except (transport.RequestException, HTTPError) as error:
        # urllib3's come too: requests lets them through while it streams a body.
        raise ConnectionError(_one_line(error)) from error


def request(
    call: Callable[[], T],
    *,
    seconds: float = RETRY_SECONDS,
    patient: bool = True,
    stop: threading.Event = NEVER,
) -> T:
    """Call Google's client, retrying after temporary faults, and return the result.

    The call itself must not retry: its waits could not be interrupted, and would ignore the store's requests
    to wait.

    Args:
        call: raises the exceptions of Google's client; NotFound and PreconditionFailed are passed on.
        seconds: how long to retry.
        patient: whether to retry.
        stop: ends a wait when set.

    Raises:
        StoreError: for all other faults.
        StorageError: when stopped.
    """

    def attempt() -> T:
        try:
            return call()
        except _ERRORS as error:
            if patient and _is_transient(error):
                raise TransientError(_one_line(error), wait=_asked_wait(error)) from error
            raise

    try:
        return retry(attempt, seconds=seconds, stop=stop)
    except (api.NotFound, api.PreconditionFailed):
        raise
    except ExhaustedError as error:
        raise _store_error(error.last.__cause__, str(error)) from error
    except _ERRORS as error:
        raise _store_error(error, _one_line(error)) from error


def _is_transient(error: Exception) -> bool:
    if isinstance(error, _LOGIN):
        return EMULATOR in os.environ or credentials() is not None
    status = getattr(error, "code", None)
    return isinstance(error, _PASSING) or status in _RETRIED_STATUS or (status or 0) >= 500


def _asked_wait(error: Exception) -> float:
    """Return the seconds that a store asks to wait; 0 where it does not, or names a date."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    asked = str(headers.get("Retry-After", ""))
    return float(asked) if asked.isdecimal() else 0.0


def _store_error(error: BaseException | None, text: str) -> StoreError:
    hint = next(
        (remedy for known, remedy in _REMEDIES.items() if isinstance(error, known)), "check the connection"
    )
    return StoreError(text, hint=hint, denied=isinstance(error, (api.Forbidden, api.Unauthorized)))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
