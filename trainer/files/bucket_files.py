"""Training data in `gs://`: google-cloud-storage lists, obstore reads.

TensorFlow's own `gs://` file system knows no emulator, pins no generation and takes 10 ms a file.
obstore takes 45 us of processor time an object, google-cloud-storage 600 to 1,100.
"""

import base64
import collections
import datetime
import fnmatch
import functools
import glob
import re
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final, NoReturn

import google.auth
import google_crc32c
import obstore
import tenacity
from google.api_core import exceptions as api
from obstore import exceptions as refused
from obstore.auth.google import GoogleCredentialProvider
from obstore.store import GCSStore
from requests import exceptions as transport

from schemas.errors import UserError, first_line
from schemas.failure import FailureCode, ImageError
from trainer.files import gcs
from trainer.files.files import CLOUD, File
from trainer.files.gcs import split

_FIELDS: Final = "items(name,size,generation,crc32c),nextPageToken"
_TIMEOUT: Final = datetime.timedelta(seconds=60)
IN_MEMORY_BYTES: Final = 256 * 2**20
"""Bytes of a large object that are held in memory; what is larger goes to a temporary file."""


class _WrongBytesError(Exception):
    """What arrived is not what was listed; another try may be better."""


_RETRIES: Final = tenacity.Retrying(
    stop=tenacity.stop_after_attempt(4),
    wait=tenacity.wait_random_exponential(0.1, max=5),
    retry=tenacity.retry_if_exception_type((_WrongBytesError, refused.GenericError)),
    reraise=True,
)


@functools.cache
def _store_at(emulator: str | None, bucket: str) -> GCSStore:
    options: dict[str, Any] = {"client_options": {"allow_http": emulator is not None, "timeout": _TIMEOUT}}
    if emulator is not None:
        options |= {"base_url": emulator, "skip_signature": True}
    elif gcs.credentials(gcs.READ) is None:
        options |= {"skip_signature": True}
    else:
        options |= {"credential_provider": GoogleCredentialProvider(gcs.credentials(gcs.READ))}
    return GCSStore(bucket, **options)


def list_folder(folder: str) -> list[File]:
    """Returns the objects of a folder at any depth by name; those that are hidden on disk left out."""
    bucket, name = split(folder)
    prefix = f"{name.rstrip('/')}/" if name else ""
    listed = _listed(bucket, prefix)
    start = len(f"{CLOUD}{bucket}/{prefix}")
    return [file for file in listed if not _hidden(file.place[start:])]


def _hidden(name: str) -> bool:
    # An object that ends in a slash is what consoles make to show an empty folder.
    return not name or name.endswith("/") or any(segment.startswith(".") for segment in name.split("/"))


def matching(pattern: str) -> list[File]:
    """Returns the objects that a pattern matches, by name."""
    bucket, name = split(pattern)
    literal = re.split(r"[*?\[]", name, maxsplit=1)[0]
    listed = [file for file in _listed(bucket, literal) if not file.place.endswith("/")]
    exact = [file for file in listed if file.place == pattern]
    if exact or not glob.has_magic(name):
        return exact
    wanted = name.split("/")
    return [file for file in listed if _matches(split(file.place)[1].split("/"), wanted)]


def _matches(name: list[str], pattern: list[str]) -> bool:
    """Whether a name matches segment by segment; `**` stands for any number of them."""
    if not pattern or not name:
        return not name and all(segment == "**" for segment in pattern)
    if pattern[0] == "**":
        return any(_matches(name[skipped:], pattern[1:]) for skipped in range(len(name) + 1))
    return fnmatch.fnmatchcase(name[0], pattern[0]) and _matches(name[1:], pattern[1:])


def stat(places: Iterable[str]) -> dict[str, File]:
    """Returns the objects as they are now by place; size -1 where there is none."""
    wanted = collections.defaultdict(set)
    for place in places:
        bucket, name = split(place)
        wanted[bucket, name.rpartition("/")[0]].add(place)
    found = {place: File(place, -1, 0) for group in wanted.values() for place in group}
    for (bucket, folder), group in wanted.items():
        listed = _listed(bucket, f"{folder}/" if folder else "", delimiter="/")
        found |= {file.place: file for file in listed if file.place in group}
    return found


def _listed(bucket: str, prefix: str, **options: str) -> list[File]:
    place = f"{CLOUD}{bucket}/{prefix}"
    try:
        blobs = gcs.client(gcs.READ).list_blobs(bucket, prefix=prefix or None, fields=_FIELDS, **options)
        return [
            File(f"{CLOUD}{bucket}/{blob.name}", blob.size, blob.generation, blob.crc32c or "")
            for blob in blobs
        ]
    except (api.GoogleAPIError, google.auth.exceptions.GoogleAuthError, transport.RequestException) as error:
        hint = "log in with `gcloud auth application-default login`, or check the connection"
        if isinstance(error, api.NotFound | api.Forbidden):
            hint = "check the bucket's name, and grant storage.objects.list and .get"
        said = " ".join(str(error).split())[:200]
        raise UserError("a bucket can be listed", value=place, hint=f"{hint}: {said}") from error


def read(file: File) -> bytes:
    """Returns the bytes of an object, the generation that was listed.

    Raises:
        ImageError: MISSING, DENIED, CHANGED, or UNREADABLE after several tries.
    """
    return _tried(file, lambda: b"".join(_pieces(file)))


def read_head(file: File, size: int) -> bytes:
    """Returns an object's first bytes, so many or all.

    Raises:
        ImageError: as `read`.
    """
    bucket, name = split(file.place)
    last = min(size, file.size)
    if not last:
        return b""
    # Its name may be one that obstore refuses; a single request may take its time.
    blob = gcs.client(gcs.READ).bucket(bucket).blob(name, generation=file.version or None)
    return _tried(file, lambda: blob.download_as_bytes(start=0, end=last - 1, raw_download=True))


def fetch(place: str) -> IO[bytes]:
    """Returns an object's bytes as a file that is open at its beginning.

    Raises:
        ImageError: as `read`.
    """
    file = stat([place])[place]
    if file.size < 0:
        raise ImageError(FailureCode.MISSING, "no such object")
    return _tried(file, lambda: _spooled(file))


def _spooled(file: File) -> IO[bytes]:
    spool = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - the caller closes it
    try:
        for piece in _pieces(file):
            spool.write(piece)
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return spool


def _pieces(file: File) -> Iterator[bytes]:
    """Yields an object's bytes; raises at the end when they are not the ones that were listed."""
    bucket, name = split(file.place)
    size = checksum = 0
    for piece in _stream(bucket, name, generation=file.version):
        size, checksum = size + len(piece), google_crc32c.extend(checksum, piece)
        yield piece
    arrived = base64.b64encode(checksum.to_bytes(4)).decode()
    if size != file.size or (file.checksum and arrived != file.checksum):
        raise _WrongBytesError(f"{size:,} of {file.size:,} bytes arrived, with CRC32C {arrived}")


def _stream(bucket: str, name: str, *, generation: int) -> Iterator[bytes]:
    if not name.isprintable() or any(segment in ("", ".", "..") for segment in name.split("/")):
        # obstore refuses or changes names that are no tidy paths.
        blob = gcs.client(gcs.READ).bucket(bucket).blob(name, generation=generation or None)
        yield blob.download_as_bytes(raw_download=True)
        return
    options: Any = {"version": str(generation)} if generation else {}
    for piece in obstore.get(_store_at(gcs.emulator(), bucket), name, options=options).stream():
        yield bytes(piece)


def _tried(file: File, get: Any) -> Any:
    try:
        return _RETRIES(get)
    except (FileNotFoundError, refused.PreconditionError, api.NotFound) as error:
        _refuse_gone(file, error)
    except (
        PermissionError,
        refused.PermissionDeniedError,
        refused.UnauthenticatedError,
        api.Forbidden,
    ) as error:
        raise ImageError(FailureCode.DENIED, first_line(error)) from error
    except (_WrongBytesError, refused.BaseError, OSError, api.GoogleAPIError) as error:
        raise ImageError(FailureCode.UNREADABLE, first_line(error)) from error


def _refuse_gone(file: File, error: Exception) -> NoReturn:
    """Tells an object that is gone from one that another version has replaced."""
    if stat([file.place])[file.place].size >= 0:
        raise ImageError(FailureCode.CHANGED, "overwritten since it was listed") from error
    raise ImageError(FailureCode.MISSING, "no such object") from error
