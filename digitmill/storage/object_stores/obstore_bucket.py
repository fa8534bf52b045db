"""Buckets of `s3://` and containers of `az://`, written through obstore under conditions on ETags.

S3 compares each upload with the SHA-256 in its signed request. Azure gets no checksum: TLS alone protects
the bytes on their way.
"""

import contextlib
import datetime
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import obstore
import tenacity
from obstore import exceptions as refused

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores.bucket import ABSENT, RELEASED, StoreError
from digitmill.storage.object_stores.retries import ATTEMPTS, TransientError, is_transient, make_retries
from digitmill.storage.object_stores.stores import listed_object, make_store
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

    def __init__(self, scheme: str, bucket: str) -> None:
        self._scheme = scheme
        self._bucket = bucket
        self._patient = make_store(scheme, bucket, timeout=_PATIENCE)
        # Only obstore itself can retry a single page in the middle of a listing.
        self._listing = make_store(scheme, bucket, retries=ATTEMPTS - 1)
        self._hasty = make_store(scheme, bucket, timeout=_HASTE)

    def list(self, prefix: str, *, most: int | None = None, after: str = "") -> Iterator[ListedImage]:
        try:
            pages = obstore.list(self._listing, prefix.rstrip("/") or None, offset=after or None)
            for meta in itertools.islice(itertools.chain.from_iterable(pages), most):
                yield listed_object(self._scheme, self._bucket, meta)
        except (refused.BaseError, OSError, ValueError) as error:
            raise _refusal(error) from error

    def folders(self, prefix: str) -> set[str]:
        found = self._request(lambda store: obstore.list_with_delimiter(store, prefix.rstrip("/") or None))
        return {name.rstrip("/").rpartition("/")[2] for name in found["common_prefixes"]}

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

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._request(lambda store: obstore.delete(store, name))

    def release(self, name: str, version: str) -> None:
        """Write `RELEASED` over an ETag: obstore has no conditional delete."""
        self.write(name, RELEASED, expected=version, patient=False)

    def _request(self, call: Callable[[Any], T], *, patient: bool = True) -> T:
        attempts, store = (ATTEMPTS, self._patient) if patient else (1, self._hasty)
        try:
            return make_retries(attempts)(_attempt, call, store)
        except tenacity.RetryError as error:
            cause = error.last_attempt.exception()
            tries = f" ({ATTEMPTS} tries)" if patient else ""
            raise StoreError(f"{cause}{tries}", hint="check the connection") from cause


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
        if is_transient(error) and not isinstance(error, (*_DENIED, ValueError)):
            raise TransientError(first_line(error)) from error
        raise _refusal(error) from error


def _refusal(error: Exception) -> StoreError:
    if isinstance(error, ValueError):
        return StoreError(first_line(error), hint="check the name")
    denied = isinstance(error, _DENIED)
    hint = "grant listing and reading, for an output also writing and deleting" if denied else _CHECK_NAME
    return StoreError(first_line(error), hint=hint, denied=denied)
