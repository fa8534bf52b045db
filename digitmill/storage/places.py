"""Places as people write them: a path, a pattern or a URI, on disk or in a bucket."""

import contextlib
import dataclasses
import io
import itertools
import os
import pathlib
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, TextIO

from digitmill.storage.interface import OutputFolder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_input import NothingFoundError, list_files
from digitmill.storage.local_output import LocalFolder
from digitmill.storage.names import local_path, real_path, uri_of
from digitmill.storage.object_stores.bucket import HasLevels, Level, StoreError
from digitmill.storage.object_stores.bucket_folder import BucketFolder, open_bucket
from digitmill.storage.object_stores.uris import is_folder_marker, is_object, is_tidy, split, split_place
from digitmill.storage.patterns import compile_pattern, has_magic, literal_prefix
from digitmill.storage.read_limits import RETRY_SECONDS
from digitmill.storage.reader import ImageReader
from digitmill.storage.sorted_rows import SortedRows
from digitmill.storage.survey import Survey
from schemas.errors import UserError
from schemas.failure import ImageError

_LAST: Final = "\U0010ffff"
"""The character that comes last."""


def list_place(given: str, survey: Survey | None = None, *, in_order: bool = True) -> Iterator[ListedImage]:
    """Yield the images of a folder, a pattern or one file, on disk or in a bucket.

    Args:
        given: the folder, pattern or file.
        survey: selects the files to list, shared by inputs that are listed together; None for the default.
        in_order: whether to sort the names of stores that list them in another order.

    Raises:
        NothingFoundError: when the place does not exist or matches nothing.
        UserError: when the place cannot be listed.
    """
    survey = survey or Survey()
    if not is_object(given):
        yield from list_files(local_path(given), survey)
        return
    for image, taken in examine_bucket(given, survey, in_order=in_order):
        if taken:
            yield image
        else:
            survey.ignored += 1


def examine_bucket(
    given: str, survey: Survey, *, in_order: bool = True
) -> Iterator[tuple[ListedImage, bool]]:
    """Yield the files of a place in a bucket, and whether the survey takes each; count nothing.

    Raises:
        NothingFoundError: when the place does not exist or matches nothing.
        UserError: when the place cannot be listed.
    """
    scheme, bucket, name = split_place(given)
    found = False
    for image, taken in _matching(scheme, bucket, name, survey, in_order=in_order):
        if not is_folder_marker(image):
            found = True
            yield image, taken
    if not found:
        raise NothingFoundError("input not found", value=given, hint="check the name or the pattern")


def _matching(
    scheme: str, bucket: str, name: str, survey: Survey, *, in_order: bool
) -> Iterator[tuple[ListedImage, bool]]:
    exact = list_object(scheme, bucket, name) if name else []
    yield from ((image, True) for image in exact)
    # A name that ends in a slash is a folder's, whatever characters it holds.
    matches = None
    if has_magic(name) and not exact and not name.endswith("/"):
        matches, prefix = compile_pattern(name).fullmatch, literal_prefix(name)
        folder = prefix[: prefix.rfind("/") + 1]
    else:
        prefix = folder = name if not name or name.endswith("/") else f"{name}/"
    for image in _objects(scheme, bucket, prefix, in_order=in_order):
        key = split(image.uri)[2]
        if image in exact or (matches and not matches(key)):
            continue
        yield image, is_folder_marker(image) or survey.takes(key[len(folder) :])


def list_object(scheme: str, bucket: str, name: str) -> list[ListedImage]:
    """Return the object of a name, or nothing."""
    if scheme == "gs":
        from digitmill.storage.object_stores import google

        # Of all names that begin with this one, itself comes first.
        listed = google.list_objects(bucket, prefix=name, most=1)
        return [image for image in listed if split(image.uri)[2] == name]
    with ImageReader() as reader:
        return [image for image in reader.find([f"{scheme}://{bucket}/{name}"]) if image.size >= 0]


def _objects(scheme: str, bucket: str, prefix: str, *, in_order: bool) -> Iterator[ListedImage]:
    """Yield what begins with a prefix."""
    if scheme == "gs":
        from digitmill.storage.object_stores import google

        yield from google.list_objects(bucket, prefix=prefix)
        return
    # obstore lists whole path segments only: what is before the last slash, then filter.
    folder = prefix[: prefix.rfind("/") + 1]
    if in_order and not can_list_ranges(scheme, bucket):
        yield from list_folder(scheme, bucket, folder, prefixes=(prefix,))
        return
    listed = _list_bucket(scheme, bucket, folder)
    yield from (image for image in listed if split(image.uri)[2].startswith(prefix))


def list_folder(
    scheme: str, bucket: str, folder: str, *, prefixes: tuple[str, ...] = ("",), start: str = ""
) -> Iterator[ListedImage]:
    """Yield the objects below a folder sorted by name, for stores that list in any order.

    They are sorted on disk, so that memory does not grow with their number.

    Args:
        scheme: URI scheme of the bucket.
        bucket: a bucket without ranges, see `can_list_ranges`.
        folder: ends in a slash, or is empty for the whole bucket.
        prefixes: yield only names that begin with one of these.
        start: yield only names from this one on.

    Raises:
        UserError: when the bucket cannot be listed.
        StorageError: when the disk is full.
    """
    keys = ((split(image.uri)[2], image) for image in _list_bucket(scheme, bucket, folder))
    yield from _sort(image for key, image in keys if key >= start and key.startswith(prefixes))


def _sort(images: Iterable[ListedImage]) -> Iterator[ListedImage]:
    rows, before = SortedRows(), ""
    rows.add((image.uri, [image.generation, image.size, image.checksum]) for image in images)
    for uri, (generation, size, checksum) in rows:
        if uri != before:  # while objects come and go, a store may list one twice
            yield ListedImage(uri, generation, size, checksum=checksum)
        before = uri


def first_names(scheme: str, bucket: str, folder: str, most: int) -> Iterator[str]:
    """Yield at most `most` names below a folder, in the store's own order.

    Raises:
        UserError: when the bucket cannot be listed.
    """
    for image in itertools.islice(_list_bucket(scheme, bucket, folder), most):
        yield split(image.uri)[2]


def list_level(scheme: str, bucket: str, folder: str) -> Level:
    """Return the folders and objects directly in a folder of a bucket that cannot list ranges.

    Raises:
        UserError: when the bucket cannot be listed.
    """
    store = open_bucket(scheme, bucket)
    assert isinstance(store, HasLevels), "what is listed in ranges needs no levels"
    with _listing(scheme, bucket, folder):
        return store.level(folder)


def can_list_ranges(scheme: str, bucket: str) -> bool:
    """Whether a bucket can list its names in the order of their UTF-8 bytes, from any given name.

    Azure containers list in UTF-16 order, or folder by folder if their namespace is hierarchical, and their
    emulator ignores the start. S3 directory buckets list in no order.
    """
    return scheme == "gs" or (scheme == "s3" and not bucket.endswith("--x-s3"))


def list_keys(
    scheme: str, bucket: str, *, start: str = "", end: str = "", most: int | None = None
) -> Iterator[ListedImage]:
    """Yield the objects whose names are >= start and < end (empty: no end), in order; at most so many.

    Raises:
        UserError: when the bucket cannot be listed.
    """
    if scheme == "gs":
        from digitmill.storage.object_stores import google

        yield from google.list_objects(bucket, start=start, end=end, most=most)
        return
    listed = _list_bucket(scheme, bucket, "", after=_before(start))
    keys = ((split(image.uri)[2], image) for image in listed)
    inside = itertools.takewhile(lambda pair: not end or pair[0] < end, keys)
    yield from itertools.islice((image for key, image in inside if key >= start), most)


def _before(key: str) -> str:
    """Return a text before a key and near it: stores list what comes after a text, and the key counts too."""
    if key.endswith("\0"):
        near = key[:-1]  # nothing lies between a name and the name followed by a NUL
    else:
        code = ord(key[-1]) - 1 if key else 0
        near = f"{key[:-1]}{chr(0xD7FF if code == 0xDFFF else code)}{_LAST}"  # surrogates are not characters
    # obstore refuses empty, . and .. segments, and control characters; any beginning comes before the key.
    shorter = (key[:place] for place in range(len(key) - 1, 0, -1))
    return next((text for text in (near, *shorter) if key and is_tidy(text.replace(_LAST, "x"))), "")


def _list_bucket(scheme: str, bucket: str, folder: str, *, after: str = "") -> Iterator[ListedImage]:
    with _listing(scheme, bucket, folder):
        yield from open_bucket(scheme, bucket).list(folder, after=after)


@contextlib.contextmanager
def _listing(scheme: str, bucket: str, folder: str) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise UserError(
            "cannot list the bucket", value=f"{scheme}://{bucket}/{folder}", hint=error.hint
        ) from error


def uri_of_place(given: str) -> str:
    """Return the URI under which a file or folder, given by path or URI, is listed.

    Raises:
        UserError: when the place is neither local nor in an object store.
    """
    return given if is_object(given) else uri_of(real_path(os.fsencode(local_path(given))))


def open_place(given: str) -> BinaryIO:
    """Open a file of any size for reading; an object is copied to a temporary file.

    Raises:
        UserError: when the file cannot be read.
    """
    uri = uri_of_place(given)
    with ImageReader() as reader:
        try:
            return reader.fetch(next(reader.find([uri])))
        except ImageError as error:
            raise UserError(
                "cannot read the file",
                value=given,
                hint=f"check the name and your permissions: {error.detail}",
            ) from error


def read_place(given: str) -> bytes:
    """Return the whole content of a file given by the user.

    Raises:
        OSError: when a local file cannot be read.
        UserError: when an object cannot be read.
    """
    with _open(given) as file:
        return file.read()


def open_text(given: str) -> TextIO:
    """Return a user's text file, open for reading as UTF-8, with or without a byte order mark.

    Invalid UTF-8, which file names may contain, is kept as surrogates. Newlines are not converted.

    Raises:
        OSError: when a local file cannot be read.
        UserError: when an object cannot be read.
    """
    return io.TextIOWrapper(_open(given), encoding="utf-8-sig", errors="surrogateescape", newline="")


@dataclasses.dataclass
class _Pipes:
    """What pipes held that were read, by device and inode; None while it is not kept."""

    kept: dict[tuple[int, int], bytes] | None = None


_PIPES: Final = _Pipes()


@contextlib.contextmanager
def pipes_kept() -> Iterator[None]:
    """Context manager that keeps the content of pipes, which can be read only once, for later reads."""
    before = _PIPES.kept
    _PIPES.kept = {} if before is None else before
    try:
        yield
    finally:
        _PIPES.kept = before


def _open(given: str) -> BinaryIO:
    # Of a user's own disk any file will do, a pipe of the shell's among them.
    if is_object(given):
        return open_place(given)
    path, kept = local_path(given), _PIPES.kept
    status = os.stat(path)
    if kept is None or not stat.S_ISFIFO(status.st_mode):
        return open(path, "rb")
    pipe = status.st_dev, status.st_ino
    if pipe not in kept:
        with open(path, "rb") as file:
            kept[pipe] = file.read()
    return io.BytesIO(kept[pipe])


def open_folder(place: str, *, retry_seconds: float = RETRY_SECONDS) -> OutputFolder:
    """Return an output folder, local or in a bucket, without touching it.

    Requests that fail because of the store are retried for `retry_seconds`.

    Raises:
        UserError: for a place that cannot hold outputs.
    """
    if "://" not in place:
        return LocalFolder(pathlib.Path(place).absolute())
    scheme, bucket, prefix = split_place(place.rstrip("/"))
    if scheme != "gs" and prefix and not is_tidy(prefix):
        raise UserError(
            "cannot write to a folder with an empty, . or .. segment in its name",
            value=place,
            hint="choose another name",
        )
    return BucketFolder(scheme, bucket, prefix, retry_seconds)
