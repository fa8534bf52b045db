"""Creates obstore's stores: address of a bucket, credentials, and timeouts."""

import datetime
import os
from collections.abc import Callable
from typing import Any, Final

from obstore.store import AzureStore, GCSStore, S3Store

from digitmill.storage.listed_image import ListedImage, bounded_generation
from digitmill.storage.object_stores.uris import EMULATOR

_SILENCE: Final = datetime.timedelta(seconds=30)
"""How long a store may send nothing."""

_TIMEOUT: Final = datetime.timedelta(minutes=2)
"""How long a whole answer may take, its body included."""

HOURS: Final = datetime.timedelta(hours=6)
"""The same for an answer of many gigabytes."""

_MANY: Final = 1_000_000
"""More tries than fit into any time."""


def make_store(
    scheme: str,
    bucket: str,
    *,
    timeout: datetime.timedelta = _TIMEOUT,
    silence: datetime.timedelta | None = None,
    retry_seconds: float = 0.0,
) -> Any:
    """Return the store of a `gs`, `s3` or `az` bucket, under the scheme's usual environment.

    Args:
        scheme: the kind of store.
        bucket: its bucket, or container.
        timeout: limit for a whole response, including its body.
        silence: limit for a pause in a response, also for uploads; 30 s by default.
        retry_seconds: how long the store itself retries. By default it does not, because callers retry: their
            tries are counted and throttled.
    """
    retries: dict[str, Any] = {"max_retries": _MANY if retry_seconds else 0}
    if retry_seconds:
        retries |= {"retry_timeout": datetime.timedelta(seconds=retry_seconds)}
    options = {"timeout": timeout, "read_timeout": min(timeout, silence or _SILENCE)}
    connection = {"client_options": options, "retry_config": retries}
    return _MAKERS[scheme](bucket, connection)


def is_anonymous(scheme: str) -> bool:
    """Whether requests need no login that could expire; emulators may be set to simulate one."""
    if scheme != "gs" or EMULATOR in os.environ:
        return False
    from digitmill.storage.object_stores import google

    return google.credentials() is None


def listed_object(scheme: str, bucket: str, meta: Any) -> ListedImage:
    """Return an object as obstore describes it."""
    version = meta["version"] or ""
    changed = int(meta["last_modified"].timestamp() * 1e6)
    generation = bounded_generation(int(version) if scheme == "gs" and version.isdecimal() else changed)
    checksum = "" if scheme == "gs" else meta["e_tag"] or ""
    return ListedImage(
        f"{scheme}://{bucket}/{meta['path']}", generation=generation, size=meta["size"], checksum=checksum
    )


def _gcs_store(bucket: str, connection: dict[str, Any]) -> GCSStore:
    emulator = os.environ.get(EMULATOR)
    if emulator is not None:
        address = emulator if "://" in emulator else f"http://{emulator}"
        return GCSStore(bucket, base_url=address, skip_signature=True, **_without_tls(connection))
    from digitmill.storage.object_stores import google

    credentials = google.credentials()
    if credentials is None:
        return GCSStore(bucket, skip_signature=True, **connection)
    from obstore.auth.google import GoogleCredentialProvider

    return GCSStore(bucket, credential_provider=GoogleCredentialProvider(credentials), **connection)


def _s3_store(bucket: str, connection: dict[str, Any]) -> S3Store:
    if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        connection = _without_tls(connection)
    return S3Store(bucket, **connection)


def _azure_store(container: str, connection: dict[str, Any]) -> AzureStore:
    emulator = os.environ.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in ("true", "1")
    if emulator or os.environ.get("AZURE_STORAGE_ENDPOINT", "").startswith("http://"):
        connection = _without_tls(connection)
    return AzureStore(container, **connection)


_Maker = Callable[[str, dict[str, Any]], Any]
_MAKERS: Final[dict[str, _Maker]] = {"gs": _gcs_store, "s3": _s3_store, "az": _azure_store}


def _without_tls(connection: dict[str, Any]) -> dict[str, Any]:
    """Return a connection that may be one without encryption, as to an emulator."""
    return connection | {"client_options": connection["client_options"] | {"allow_http": True}}
