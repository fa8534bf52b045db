"""Buckets of `s3://` and containers of `az://`, written through obstore under conditions on ETags.

S3 compares each upload with the SHA-256 in its signed request. Azure gets no checksum: TLS alone protects
the bytes on their way.
"""

import contextlib
import datetime
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

import obstore
from obstore import exceptions as refused

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores.bucket import ABSENT, RELEASED, Level, StoreError
from digitmill.storage.object_stores.retries import (
    ExhaustedError,
    TransientError,
    is_lapsed_login,
    is_transient,
    retry,
)
from digitmill.storage.object_stores.stores import listed_object, make_store
from digitmill.storage.read_limits import CONTACT_SECONDS, RETRY_SECONDS
from schemas.errors import first_line

if TYPE_CHECKING:
    from obstore import PutMode

_PATIENCE: Final = datetime.timedelta(minutes=5)
"""How long an upload may take."""

_HASTE: Final = datetime.timedelta(seconds=10)

_DENIED: Final = (refused.PermissionDeniedError, refused.UnauthenticatedError, PermissionError)

_CHECK_NAME: Final = "check the bucket's name and the credentials in the environment"

T = TypeVar("T")


class ObstoreBucket:
    """A `Bucket` of S3 or Azure. Its versions are ETags, which on S3 depend on the content alone."""

    def __init__(self, scheme: str, bucket: str, retry_seconds: float = RETRY_SECONDS) -> None:
        self._scheme = scheme
        self._bucket = bucket
        self._seconds = retry_seconds
        self._answered = False
        self._stop = threading.Event()
        self._log_in()

    def list(self, prefix: str, *, most: int | None = None, after: str = "") -> Iterator[ListedImage]:
        if not self._answered:
            # obstore's own retries, below, last as long at a bucket that cannot be listed at all.
            self._request(
                lambda store: next(iter(obstore.list(store, prefix.rstrip("/") or None, chunk_size=1)), None)
            )
        try:
            pages = obstore.list(self._listing, prefix.rstrip("/") or None, offset=after or None)
            for meta in itertools.islice(itertools.chain.from_iterable(pages), most):
                yield listed_object(self._scheme, self._bucket, meta)
        except (refused.BaseError, OSError, ValueError) as error:
            raise _refusal(error) from error

    def folders(self, prefix: str) -> set[str]:
        return {name.rstrip("/").rpartition("/")[2] for name in self.level(prefix).folders}

    def level(self, prefix: str) -> Level:
        found = self._request(lambda store: obstore.list_with_delimiter(store, prefix.rstrip("/") or None))
        return Level(
            [f"{name.rstrip('/')}/" for name in found["common_prefixes"]],
            [listed_object(self._scheme, self._bucket, meta) for meta in found["objects"]],
        )

    def read(self, name: str) -> bytes:
        return self._request(lambda store: bytes(obstore.get(store, name).bytes()))

    def read_version(self, name: str, *, patient: bool = True) -> tuple[str, bytes] | None:
        def get(store: Any) -> tuple[str, bytes]:
            found = obstore.get(store, name)
            return found.meta["e_tag"] or "", bytes(found.bytes())

        try:
            return self._request(get, patient=patient)
        except FileNotFoundError:
            return None

    def written(self, name: str) -> datetime.datetime | None:
        try:
            return self._request(lambda store: obstore.head(store, name)["last_modified"])
        except FileNotFoundError:
            return None

    def write(
        self, name: str, data: bytes, *, expected: str | None = None, patient: bool = True
    ) -> str | None:
        mode: PutMode = {"e_tag": expected} if expected else "overwrite" if expected is None else "create"

        def put(store: Any) -> str | None:
            try:
                return obstore.put(store, name, data, mode=mode, use_multipart=False)["e_tag"] or ""
            except refused.PreconditionError:
                return None
            except refused.AlreadyExistsError:
                _confirm_exists(store, name)
                return None

        try:
            return self._request(put, patient=patient)
        except FileNotFoundError as error:
            if expected not in (None, ABSENT):
                return None
            raise _refusal(error) from error

    def write_file(self, name: str, file: BinaryIO, *, replace: bool) -> bool:
        # Uploads in several parts, which alone need no more memory than a part, know no conditions.
        if not replace and self.written(name) is not None:
            return False

        def put(store: Any) -> None:
            file.seek(0)
            obstore.put(store, name, file, use_multipart=True)

        try:
            self._request(put)
        except FileNotFoundError as error:
            raise _refusal(error) from error
        return True

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._request(lambda store: obstore.delete(store, name))

    def release(self, name: str, version: str) -> None:
        """Write `RELEASED` over an ETag: obstore has no conditional delete."""
        self.write(name, RELEASED, expected=version, patient=False)

    def interrupt(self) -> None:
        self._stop, ended = threading.Event(), self._stop
        ended.set()

    def _log_in(self) -> None:
        """Make the stores, under credentials as they are now."""
        self._patient = make_store(self._scheme, self._bucket, timeout=_PATIENCE, silence=_PATIENCE)
        # Only obstore itself can retry a single page in the middle of a listing.
        self._listing = make_store(self._scheme, self._bucket, retry_seconds=self._seconds)
        self._hasty = make_store(self._scheme, self._bucket, timeout=_HASTE)

    def _request(self, call: Callable[[Any], T], *, patient: bool = True) -> T:
        def attempt() -> T:
            try:
                return _attempt(call, self._patient if patient else self._hasty)
            except TransientError as error:
                if isinstance(error.__cause__, refused.UnauthenticatedError) or is_lapsed_login(error):
                    self._log_in()
                raise

        seconds = self._seconds if self._answered else min(self._seconds, CONTACT_SECONDS)
        try:
            found = retry(attempt, seconds=seconds if patient else 0, stop=self._stop)
        except ExhaustedError as error:
            text = str(error) if patient else str(error.last)
            raise StoreError(text, hint="check the connection") from error
        self._answered = True
        return found


def _confirm_exists(store: Any, name: str) -> None:
    """Raise TransientError when an object that the store reported as existing does not exist.

    S3 answers the same to the slower of two simultaneous writers, and the faster one may still fail.
    """
    try:
        obstore.head(store, name)
    except FileNotFoundError as error:
        raise TransientError(f"another writer is at work on {name}") from error


def _attempt(call: Callable[[Any], T], store: Any) -> T:
    try:
        return call(store)
    except FileNotFoundError:
        raise
    except (refused.BaseError, OSError, ValueError) as error:
        lapsed = isinstance(error, refused.UnauthenticatedError) or is_lapsed_login(error)
        if lapsed or (is_transient(error) and not isinstance(error, (*_DENIED, ValueError))):
            raise TransientError(first_line(error)) from error
        raise _refusal(error) from error


def _refusal(error: Exception) -> StoreError:
    if isinstance(error, ValueError):
        return StoreError(first_line(error), hint="check the name")
    denied = isinstance(error, _DENIED)
    hint = "grant listing and reading, for an output also writing and deleting" if denied else _CHECK_NAME
    return StoreError(first_line(error), hint=hint, denied=denied)
