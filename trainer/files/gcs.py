"""The client for `gs://`, and what an address of it is made of."""

import functools
import os
from typing import Any, Final

import google.auth
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from schemas.errors import UserError
from trainer.files.files import CLOUD

EMULATOR: Final = "STORAGE_EMULATOR_HOST"
"""Environment variable with an emulator's address; Google's libraries agree on it."""

READ: Final = "https://www.googleapis.com/auth/devstorage.read_only"
WRITE: Final = "https://www.googleapis.com/auth/devstorage.read_write"

_NO_PROJECT: Final = "no-project"
"""Objects belong to buckets, not to projects: none need be configured."""


def split(uri: str) -> tuple[str, str]:
    """Returns bucket and object name of `gs://bucket/name`.

    Raises:
        UserError: when no bucket is named.
    """
    bucket, _, name = uri.removeprefix(CLOUD).partition("/")
    if not bucket:
        raise UserError("a gs:// place names a bucket", value=uri, hint="write gs://BUCKET/FOLDER")
    return bucket, name


def emulator() -> str | None:
    """Returns the emulator's address; None without one."""
    address = os.environ.get(EMULATOR)
    return address if address is None or "://" in address else f"http://{address}"


@functools.cache
def credentials(scope: str) -> Any:
    """Returns the application default credentials, or None where there are none: public buckets stay open."""
    try:
        return google.auth.default(scopes=(scope,))[0]
    except google.auth.exceptions.DefaultCredentialsError:
        return None


def client(scope: str) -> storage.Client:
    """Returns this process's client for reading or for writing; it honours STORAGE_EMULATOR_HOST."""
    return _client_at(emulator(), scope)


@functools.cache
def _client_at(address: str | None, scope: str) -> storage.Client:
    if address is not None:
        options = {"api_endpoint": address}
        return storage.Client(project=_NO_PROJECT, credentials=AnonymousCredentials(), client_options=options)
    if credentials(scope) is None:
        return storage.Client.create_anonymous_client()
    return storage.Client(project=_NO_PROJECT, credentials=credentials(scope))
