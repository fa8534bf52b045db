"""Names of images: a URI is an image's identity, and stands for exactly one sequence of bytes.

A local file's URI is `pathlib.Path.as_uri()` of its absolute path, which keeps bytes that are no
UTF-8, newlines and the like, and which no spreadsheet takes for a formula.
"""

import difflib
import itertools
import os
import pathlib
import re
import string
import urllib.parse
from collections.abc import Container
from typing import Final

from digitmill.storage.patterns import has_magic, split_pattern
from schemas.errors import UserError

SCHEMES: Final = ("gs", "s3", "az")
"""URI schemes of the supported object stores."""

_FILE: Final = "file://"

_ONE_SLASH: Final = re.compile(rf"^({'|'.join(SCHEMES)}):/+(?=[^/])")

_PAGE: Final = re.compile("(.+)!([1-9][0-9]{0,4})", re.DOTALL)
"""The identity of a page: no file has more than 99,999 that are read."""

_UNQUOTED: Final = (string.ascii_letters + string.digits + "_.-~/").encode()
"""What `urllib.parse.quote` leaves as it is."""


def uri_of(path: bytes) -> str:
    """Return the URI of a local file; relative paths count from the working folder.

    `..` stays: after a link it does not lead back to where the link stands.
    """
    whole = path if path.startswith(b"/") else os.path.join(os.getcwdb(), path)
    segments = whole.split(b"/")
    return f"{_FILE}/{quoted(b'/'.join(s for s in segments if s not in (b'', b'.')))}"


def real_path(path: bytes) -> bytes:
    """Return the unique path of a file or folder that a user names.

    It has no `.`, `..`, doubled slashes or links, except that a file given as a link keeps the link's name.
    """
    folder, name = os.path.split(path.rstrip(b"/") or b"/")
    if name in (b"", b".", b"..") or os.path.isdir(path):
        return os.path.realpath(path)
    return os.path.join(os.path.realpath(folder), name)


class RealNames:
    """Maps URIs of files to those with the real paths of their folders; looks up each folder once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __getitem__(self, uri: str) -> str:
        if not uri.startswith(_FILE):
            return uri
        folder, _, name = uri.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = uri_of(os.path.realpath(path_of(f"{folder}/"))).rstrip("/")
        return f"{self._folders[folder]}/{name}"


def quoted(path: bytes) -> str:
    """Return a path, or a part of one, quoted for a URI."""
    # Nearly no name needs quoting; to find that out `urllib` takes five times as long.
    return urllib.parse.quote_from_bytes(path) if path.translate(None, _UNQUOTED) else path.decode()


def path_of(uri: str) -> bytes:
    """Return the path of a `file://` URI, the exact inverse of `uri_of`.

    Raises:
        ValueError: for other URIs.
    """
    if not uri.startswith(_FILE):
        raise ValueError(f"a local image has a {_FILE} URI; got {uri!r}")
    quoted = uri.removeprefix(_FILE)
    # Nearly no name needs quoting, and unquoting takes 1 us even where there is nothing to unquote.
    return urllib.parse.unquote_to_bytes(quoted) if "%" in quoted else quoted.encode()


def place_of(uri: str, given: str = "/") -> str:
    """Return the path of a `file://` URI; return other URIs unchanged.

    Args:
        uri: URI of a file or an object.
        given: the input that it was listed from; if that is a relative path, the result is relative too.
    """
    if not uri.startswith(_FILE):
        return uri
    path = os.fsdecode(path_of(uri))
    return path if given.startswith(("/", _FILE)) else path.removeprefix(os.path.join(os.getcwd(), ""))


_PIPES: Final = (b"/dev/fd/", b"/dev/std", b"/proc/")
"""How names of pipes of the shell's begin."""


def uri_in(name: str, file: str | pathlib.Path) -> str:
    """Return the URI of a name listed in a file; relative names are relative to the file's folder.

    If the file is a shell's pipe, they are relative to the working directory.

    Raises:
        UserError: when the name cannot refer to a readable file.
    """
    place = str(file)
    if "://" not in f"{name}{place.removeprefix(_FILE)}" or name.startswith("/"):
        base = os.fsencode(local_path(place))
        folder = os.getcwdb() if base.startswith(_PIPES) else os.path.dirname(base)
        path = os.path.join(folder, os.fsencode(name))
        if b"\0" not in path:
            return uri_of(path)
        raise _unusable_name(name, file)
    if "://" not in name:
        name = f"{folder_of(place)}/{name}"
    if name.startswith(_FILE):
        path = path_of(name)
        if path.startswith(b"/") and b"\0" not in path:
            return uri_of(path)  # one file, one URI, however it was quoted
    scheme, _, rest = name.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme not in SCHEMES or not bucket or not key or printable(name) != name:
        raise _unusable_name(name, file)
    return name


def _unusable_name(name: str, file: str | pathlib.Path) -> UserError:
    return UserError(
        "neither a path nor a URI of file:///, gs://, s3:// or az:// in UTF-8",
        value=name,
        hint=f"correct it in {file}",
    )


def place_as_given(given: str | os.PathLike[str]) -> str:
    """Return a place as text, restoring the double slash of a URI that `pathlib.Path` has collapsed."""
    place = os.fspath(given)
    return place if isinstance(given, str) else _ONE_SLASH.sub(r"\1://", place)


def printable(place: str) -> str:
    """Return a path with invalid UTF-8 escaped, for pages and manifests."""
    return os.fsencode(place).decode(errors="backslashreplace")


def local_path(given: str) -> str:
    """Return the path of a local place, which may be a `file://` URI."""
    return os.fsdecode(path_of(given)) if given.startswith(_FILE) else given


def place_from_anywhere(place: str) -> str:
    """Return a place that works in any working directory: absolute, real, without a trailing slash."""
    if "://" in place and not place.startswith(_FILE):
        return place.rstrip("/")
    root, pattern = real_root(place)
    return os.path.join(os.fsdecode(root), pattern) if pattern else os.fsdecode(root)


def real_root(given: str) -> tuple[bytes, str]:
    """Return the real path of a local input, and the pattern below it, which is empty if there is none.

    A name that exists exactly as given is not a pattern.
    """
    path = os.fsencode(local_path(given))
    if os.path.lexists(path) or not has_magic(os.fsdecode(path)):
        return real_path(path), ""
    folder, pattern = split_pattern(os.fsdecode(path))
    return os.path.realpath(os.fsencode(folder) or b"."), pattern


_MOST_COMPARED: Final = 10_000
"""Names in a folder that a misspelled one is compared with."""


def path_hint(given: str, otherwise: str = "check the path") -> str:
    """Return the hint for a missing path: the closest existing path, or `otherwise`."""
    near = near_path(given)
    return otherwise if near is None else f"did you mean {near}?"


def check_found(place: str, what: str = "input") -> None:
    """Raise UserError for a missing local path; buckets and patterns are not checked."""
    path = local_path(place)
    if "://" not in path and not (os.path.lexists(path) or has_magic(path)):
        raise UserError(f"{what} not found", value=place, hint=path_hint(place))


def near_path(given: str) -> str | None:
    """Return the local path closest to a misspelled one, which may differ in one segment, or None."""
    folder, rest = local_path(given).rstrip("/"), ""
    while folder:
        folder, name = os.path.split(folder.rstrip("/"))
        if name and os.path.isdir(folder or "."):
            close = difflib.get_close_matches(name, _names_in(folder or "."), n=3)
            paths = (
                os.path.join(folder, each, rest).rstrip("/") for each in close if _stems_match(name, each)
            )
            return next(filter(os.path.lexists, paths), None)
        rest = os.path.join(name, rest)
    return None


def _stems_match(name: str, other: str) -> bool:
    """Whether two names are close without their suffixes, which many names share."""
    stem, other_stem = (each.partition(".")[0] for each in (name, other))
    return difflib.SequenceMatcher(None, stem, other_stem).ratio() >= 0.6


def _names_in(folder: str) -> list[str]:
    """Return names that people mean: not those of hidden files, nor of a folder that looks like a flag."""
    try:
        with os.scandir(folder) as entries:
            names = (entry.name for entry in entries if not entry.name.startswith(("-", ".")))
            return list(itertools.islice(names, _MOST_COMPARED))
    except OSError:
        return []


_ARCHIVE_SUFFIXES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tfrecord", ".tfrecords", ".tfrecord.gz")

_PAGED_SUFFIXES: Final = (".tif", ".tiff", ".pdf")


def may_be_archive(uri: str) -> bool:
    """Whether a file may be an archive, by its name; its content decides later."""
    return uri.lower().endswith(_ARCHIVE_SUFFIXES)


def may_hold_several(uri: str) -> bool:
    """Whether a file may be an archive or have several pages, by its name."""
    return uri.lower().endswith((*_ARCHIVE_SUFFIXES, *_PAGED_SUFFIXES))


def page_uri(file: str, page: int) -> str:
    """Return the identity of a page, counted from 1: `FILE!PAGE`, where FILE may be an archive's member."""
    return f"{file}!{page}"


def split_page(uri: str) -> tuple[str, int]:
    """Split an identity into file and page; page 0 if it cannot be a page."""
    match = _PAGE.fullmatch(uri)
    return (match[1], int(match[2])) if match else (uri, 0)


def file_of(uri: str, files: Container[str]) -> str:
    """Return which of `files` a URI names, as the file or as one of its pages; the URI itself if none."""
    return uri if uri in files else split_page(uri)[0]


def folder_of(uri: str) -> str:
    """Return the URI of the folder that holds an image."""
    return uri.rpartition("/")[0]


def readable(uri: str) -> str:
    """Return a URI's path in readable form, for pages and messages; not an identity."""
    return urllib.parse.unquote(uri.removeprefix(_FILE), errors="replace") if uri.startswith(_FILE) else uri
