"""Reads objects of `gs://`, `s3://` and `az://` through obstore: one GET each, over kept connections.

obstore takes 45 us of processor time per object, google-cloud-storage 600 to 1,100 us, and Beam's own reader
7 ms and three requests.

A read that fails because of the store is retried until its deadline. To decide whether the store or only the
object is at fault, it reads another object of the bucket that could be read before, or others of the work
item.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Final, NoReturn, TypeVar

from obstore import exceptions as refused

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores.bucket import LoginError
from digitmill.storage.object_stores.read_bucket import ReadBucket
from digitmill.storage.object_stores.retries import (
    NEVER,
    ExhaustedError,
    TransientError,
    is_lapsed_login,
    is_redirect,
    is_slow_down,
    is_transient,
    is_unconnected,
    retry,
)
from digitmill.storage.object_stores.stores import is_anonymous
from digitmill.storage.object_stores.throttle import Throttle
from digitmill.storage.object_stores.uris import split
from digitmill.storage.read_limits import CONTACT_SECONDS, ReadLimits
from schemas.errors import StorageError, first_line
from schemas.failure import MAX_BYTES, FailureCode, ImageError

_MANY_REFUSED: Final = 8
"""Refused reads after which a bucket is given up, where none has succeeded."""

_MANY_ALONE: Final = 8
"""Objects that failed alone from which others are given up sooner, while the bucket can be read."""

_ALONE_SECONDS: Final = 30.0

_EXAMINED_SECONDS: Final = 1.0
"""How long it holds that a bucket cannot be read."""

_PROBES: Final = 8
"""Objects of a work item that show whether others can be read."""

_ERRORS: Final = (refused.BaseError, OSError, ValueError)
_GONE: Final = (FileNotFoundError, refused.PreconditionError)
"""obstore raises FileNotFoundError; its NotFoundError is another class. An object that is gone may also fail
its condition."""
_DENIED: Final = (refused.PermissionDeniedError, PermissionError)
_LOGIN: Final = (refused.UnauthenticatedError, LoginError)

Content = bytes | ImageError

T = TypeVar("T")


class ObjectStores:
    """The stores of a worker process, one per bucket, created when first needed. Thread-safe.

    Methods raise StorageError when a bucket is unreachable or refuses all reads, and when `stop` is set.
    """

    def __init__(self, limits: ReadLimits) -> None:
        self._buckets: dict[tuple[str, str], ReadBucket] = {}
        self._lock = threading.Lock()
        self._throttle = Throttle(limits.requests_per_second, processes=limits.processes)
        self._seconds = limits.retry_seconds

    def read_group(
        self,
        group: Sequence[ListedImage],
        *,
        others: Sequence[ListedImage] = (),
        stop: threading.Event = NEVER,
    ) -> list[Content]:
        """Return the bytes of objects in their listed versions, or the errors.

        The errors are MISSING, DENIED, CHANGED, TOO_LARGE, or UNREADABLE after several tries.

        Args:
            group: the objects.
            others: objects that are read at the same time.
            stop: ends all waits when another thread sets it.
        """
        contents: list[Content] = []
        throttle = self._throttle
        turns = cuts = 0
        for position, image in enumerate(group):
            if image.size > MAX_BYTES:
                detail = f"{image.size:,} bytes; at most {MAX_BYTES:,} are read"
                contents.append(ImageError(FailureCode.TOO_LARGE, detail))
                continue
            if not turns or throttle.cuts != cuts:
                cuts, turns = throttle.cuts, throttle.take(len(group) - position, stop=stop)
            turns -= 1
            try:
                contents.append(self._get(ReadBucket.read, image, others, stop))
            except ImageError as error:
                contents.append(error)
        return contents

    def read_head(self, image: ListedImage, size: int, *, stop: threading.Event = NEVER) -> bytes:
        """Return the first `size` bytes of an object, or all if it is shorter.

        Raises:
            ImageError: as returned by `read_group`, but never TOO_LARGE.
        """
        if image.size == 0:
            return b""  # a range request for it would fail
        size = min(size, image.size) if image.size > 0 else size
        self._throttle.take(stop=stop)
        return self._get(lambda bucket, image: bucket.read_head(image, size), image, (), stop)

    def fetch(self, image: ListedImage, *, stop: threading.Event = NEVER) -> BinaryIO:
        """Download an object of any size to a temporary file, and return it open at its beginning.

        Raises:
            ImageError: as returned by `read_group`, but never TOO_LARGE.
        """
        self._throttle.take(stop=stop)
        return self._get(ReadBucket.read_to_file, image, (), stop)

    def stat(
        self, uri: str, *, others: Sequence[ListedImage] = (), stop: threading.Event = NEVER
    ) -> ListedImage:
        """Return the current version of an object; only its name if it is not accessible."""
        unseen = ListedImage(uri, generation=0, size=-1)
        self._throttle.take(stop=stop)
        try:
            return self._get(lambda bucket, image: bucket.stat(split(image.uri)[2]), unseen, others, stop)
        except ImageError:
            return unseen

    def _get(
        self,
        get: Callable[[ReadBucket, ListedImage], T],
        image: ListedImage,
        others: Sequence[ListedImage],
        stop: threading.Event,
    ) -> T:
        bucket = self._bucket(image)
        try:
            # The first try, as nearly all end with it: without a closure, and without tenacity.
            return self._try(get, bucket, image)
        except TransientError as error:
            last = error
        logged_out = isinstance(last.__cause__, _LOGIN) and bucket.canary is None
        seconds = min(self._seconds, CONTACT_SECONDS) if logged_out else self._seconds
        began, until = last.at, last.at + seconds

        def again() -> T:
            nonlocal last
            bucket.report(last, began=began, until=until)
            self._throttle.take(stop=stop)
            alone = last.refused and self._is_alone(last, bucket, others, stop)
            try:
                return self._try(get, bucket, image, alone=alone)
            except TransientError as error:
                last = error
                raise

        return self._retry(again, bucket, last, others, stop, until=until)

    def _try(
        self,
        get: Callable[[ReadBucket, ListedImage], T],
        bucket: ReadBucket,
        image: ListedImage,
        *,
        alone: bool = False,
    ) -> T:
        sent, store = time.monotonic(), bucket.store
        try:
            content = get(bucket, image)
        except TransientError:
            bucket.canary = image  # damaged bytes are an answer
            raise
        except _GONE as error:
            self._refuse_gone(bucket, image, error)
        except _ERRORS as error:
            self._judge(error, bucket, alone=alone, sent=sent, store=store)
        bucket.canary, bucket.succeeded = image, sent
        if self._throttle.cuts:
            self._throttle.succeed()
        return content

    def _judge(
        self, error: Exception, bucket: ReadBucket, *, alone: bool, sent: float, store: Any
    ) -> NoReturn:
        """Raise TransientError where a retry may help, ImageError where it can't."""
        text = first_line(error)
        if isinstance(error, _LOGIN) or is_lapsed_login(error):
            if not is_anonymous(bucket.scheme):
                bucket.log_in_again(store)
                raise TransientError(text) from error
        elif not isinstance(error, (*_DENIED, ValueError)) and is_transient(error):
            if is_slow_down(error):
                self._throttle.slow_down(sent)
            raise TransientError(text) from error
        text = "the store redirects to no usable address" if is_redirect(error) else text
        if alone:
            denied = isinstance(error, (*_DENIED, *_LOGIN))
            raise ImageError(FailureCode.DENIED if denied else FailureCode.UNREADABLE, text) from error
        raise TransientError(text, refused=True) from error

    def _is_alone(
        self,
        refused: TransientError,
        bucket: ReadBucket,
        others: Sequence[ListedImage],
        stop: threading.Event,
    ) -> bool:
        """Whether an object that is refused once more is to blame itself: others could be read in between."""
        if self._answers(bucket, others, since=refused.at, stop=stop):
            return True
        if bucket.canary is not None:
            return False
        bucket.refused += 1
        if bucket.refused >= _MANY_REFUSED:
            hint = "check the rights and the login, or leave forbidden folders out by --exclude in a new run"
            raise _refusal("a bucket of the input refuses every read", bucket, str(refused), hint=hint)
        # A few may be all that cannot be read.
        return len(_within(bucket, others)) < _MANY_REFUSED

    def _retry(
        self,
        request: Callable[[], T],
        bucket: ReadBucket,
        first: TransientError,
        others: Sequence[ListedImage],
        stop: threading.Event,
        *,
        until: float,
    ) -> T:
        # What may be the object's own fault is looked into early; then the bucket has all the time.
        for soon in (True, False):
            left = until - time.monotonic()
            seconds = min(left, self._soon(first, bucket)) if soon else left
            try:
                return retry(request, first=first, seconds=seconds, few=soon, stop=stop)
            except ExhaustedError as error:
                why, first = str(error), error.last
            if self._answers(bucket, others, since=first.at, stop=stop):
                break
        else:
            raise _refusal("cannot reach a bucket of the input", bucket, why)
        try:
            # The bucket may have come back since the last try.
            return request()
        except TransientError as error:
            bucket.alone += 1
            raise ImageError(FailureCode.UNREADABLE, why) from error

    @staticmethod
    def _soon(first: TransientError, bucket: ReadBucket) -> float:
        """Return after how many seconds it is looked into whether an object fails alone."""
        cause = first.__cause__
        if isinstance(cause, Exception) and is_slow_down(cause):
            return float("inf")  # the store is busy
        many = bucket.alone >= _MANY_ALONE
        return _ALONE_SECONDS if many or (cause and is_unconnected(cause)) else float("inf")

    def _answers(
        self, bucket: ReadBucket, others: Sequence[ListedImage], *, since: float, stop: threading.Event
    ) -> bool:
        """Whether an object of a bucket could be read that was asked for since a time."""
        with bucket.lock:
            now = time.monotonic()
            if bucket.succeeded < since and now - bucket.examined > _EXAMINED_SECONDS:
                probes = (image for image in _probes(bucket, others) if not stop.is_set())
                if any(_can_be_read(bucket, image) for image in probes):
                    bucket.succeeded = now
                else:
                    bucket.examined = time.monotonic()
            return bucket.succeeded >= since

    def _refuse_gone(self, bucket: ReadBucket, image: ListedImage, error: Exception) -> NoReturn:
        """Tell an object that is gone from one that another version has replaced."""
        bucket.canary = bucket.canary or image  # that it is gone is an answer too
        if image.generation:
            try:
                bucket.stat(split(image.uri)[2])
            except _ERRORS:
                raise ImageError(FailureCode.MISSING, "no such object") from error
            raise ImageError(FailureCode.CHANGED, "overwritten since it was listed") from error
        raise ImageError(FailureCode.MISSING, "no such object") from error

    def _bucket(self, image: ListedImage) -> ReadBucket:
        scheme, bucket, _ = split(image.uri)
        found = self._buckets.get((scheme, bucket))
        if found is None:
            with self._lock:
                found = self._buckets.setdefault((scheme, bucket), ReadBucket(scheme, bucket))
        return found


def _within(bucket: ReadBucket, images: Sequence[ListedImage]) -> list[ListedImage]:
    return [image for image in images if image.uri.startswith(bucket.place)]


def _probes(bucket: ReadBucket, others: Sequence[ListedImage]) -> list[ListedImage]:
    """Return what shows whether a bucket can be read: what could be before, or others, spread evenly."""
    here = _within(bucket, others)
    spread = here[:: max(1, -(-len(here) // _PROBES))]
    return [bucket.canary, *spread[:1]] if bucket.canary else spread


def _can_be_read(bucket: ReadBucket, image: ListedImage) -> bool:
    try:
        if image.size < 0:
            bucket.stat(split(image.uri)[2])  # it may be large
        elif image.size:
            bucket.read_head(image, 1)
        else:
            bucket.read(image)
    except (*_GONE, TransientError):
        return True
    except _ERRORS:
        return False
    bucket.canary = image
    return True


def _refusal(
    what: str, bucket: ReadBucket, why: str, *, hint: str = "check the rights, the login and the connection"
) -> StorageError:
    return StorageError(what, value=bucket.place, hint=f"{hint}: {why}")
