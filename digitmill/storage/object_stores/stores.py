"""obstore's stores: where a bucket is, under which credentials, and how long an answer may take."""

import datetime
import os
from collections.abc import Callable
from typing import Any, Final

from obstore.store import AzureStore, GCSStore, S3Store

from digitmill.storage.object_stores import gs

_TIMEOUT: Final = datetime.timedelta(seconds=30)


def make_store(scheme: str, bucket: str) -> Any:
    """Returns the store of a `gs`, `s3` or `az` bucket, under the scheme's usual environment."""
    return _MAKERS[scheme](bucket)


def _gcs_store(bucket: str) -> GCSStore:
    emulator = os.environ.get(gs.EMULATOR)
    if emulator is not None:
        address = emulator if "://" in emulator else f"http://{emulator}"
        return GCSStore(bucket, base_url=address, skip_signature=True, **_connection(allow_http=True))
    from digitmill.storage.object_stores import google

    credentials = google.credentials()
    if credentials is None:
        return GCSStore(bucket, skip_signature=True, **_connection())
    from obstore.auth.google import GoogleCredentialProvider

    return GCSStore(bucket, credential_provider=GoogleCredentialProvider(credentials), **_connection())


def _s3_store(bucket: str) -> S3Store:
    http = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    return S3Store(bucket, **_connection(allow_http=http))


def _azure_store(container: str) -> AzureStore:
    emulator = os.environ.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in ("true", "1")
    http = emulator or os.environ.get("AZURE_STORAGE_ENDPOINT", "").startswith("http://")
    return AzureStore(container, **_connection(allow_http=http))


_MAKERS: Final[dict[str, Callable[[str], Any]]] = {"gs": _gcs_store, "s3": _s3_store, "az": _azure_store}


def _connection(*, allow_http: bool = False) -> dict[str, Any]:
    # No retries below ours: they would be neither counted nor held back by the throttle.
    return {
        "client_options": {"allow_http": allow_http, "timeout": _TIMEOUT},
        "retry_config": {"max_retries": 0},
    }
