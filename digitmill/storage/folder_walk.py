"""Walks a local folder: yields every file once, in the order of the paths, following links."""

import errno
import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from digitmill.storage.junk import JUNK_FOLDER, is_junk, is_junk_file
from digitmill.storage.listed_image import ListedImage, bounded_generation
from digitmill.storage.names import quoted, uri_of
from digitmill.storage.patterns import PathPattern, States
from digitmill.storage.survey import Survey, Visit
from schemas.errors import StorageError, UserError

_SLASH: Final = ord("/")

_UNLABELED: Final = tuple(ListedImage._field_defaults.values())
"""Fields of an image of which a listing knows neither label nor checksum."""

_GONE: Final = (errno.ENOENT, errno.ENOTDIR)

OF_THE_PROCESS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors that say nothing about a file or folder: others could not be opened either."""


class _Open(NamedTuple):
    """A folder on the way down; path, URI and the name relative to the root end in a slash."""

    path: bytes
    uri: str
    relative: str
    states: States
    names: Iterator[bytes]


def walk(root: bytes, pattern: PathPattern, survey: Survey) -> Iterator[ListedImage]:
    """Yield the files of a folder that match a pattern, in the order of their paths' bytes.

    Memory holds only the folders on the current path, and some 110 bytes for each folder entered. A folder
    with several links to it is entered once, under its first name. A folder that cannot be listed yields an
    entry for itself, with a URI that ends in a slash and a size of -1.

    Raises:
        UserError: when the root cannot be listed, or any folder if the survey is strict.
        StorageError: when the process may not open more files.
    """
    # A stack, not recursion: folders may lie deeper in each other than Python calls go.
    try:
        first = _enter(root, "", pattern, pattern.start, survey)
    except OSError as error:
        raise _refusal(root, error) from error
    open_folders = [first] if first else []
    while open_folders:
        folder = open_folders[-1]
        for name in folder.names:
            if name[-1] != _SLASH:
                yield stat_image(folder.path + name, folder.uri + quoted(name))
                continue
            try:
                below = _below(folder, name, pattern, survey)
            except OSError as error:
                if _is_entry(folder, name, error, survey):
                    yield ListedImage(folder.uri + quoted(name), 0, -1)
                continue
            if below is not None:
                open_folders.append(below)
                break
        else:
            open_folders.pop()


def stat_image(path: bytes, uri: str) -> ListedImage:
    """Return the current version of one file; size -1 and generation 0 if it cannot be examined."""
    try:
        status = os.stat(path)
    except OSError:
        return ListedImage(uri, 0, -1)
    # The class itself takes its fields one by one, which costs twice the time.
    fields = (uri, bounded_generation(status.st_mtime_ns), status.st_size, *_UNLABELED)
    return tuple.__new__(ListedImage, fields)


def _below(folder: _Open, name: bytes, pattern: PathPattern, survey: Survey) -> _Open | None:
    path, named = folder.path + name[:-1], os.fsdecode(name)
    states = folder.states if pattern.takes_all(folder.states) else pattern.enter(folder.states, named[:-1])
    if not states:
        return None
    if name[:-1] == JUNK_FOLDER:
        survey.ignored += sum(1 for _ in files_below(path))
        return None
    return _enter(path, folder.relative + named, pattern, states, survey)


def _enter(path: bytes, relative: str, pattern: PathPattern, states: States, survey: Survey) -> _Open | None:
    """List a folder; None if all that it holds is listed already under another name."""
    status = os.stat(path)
    with os.scandir(path) as entries:
        names = sorted(entry.name + b"/" if _is_folder(entry) else entry.name for entry in entries)
    earlier = survey.enter((status.st_dev, status.st_ino), path, Visit(pattern, states))
    if earlier is None:
        return None
    if not pattern.takes_all(states) or earlier:
        names = [name for name in names if name[-1] == _SLASH or _is_new(name, pattern, states, earlier)]
    if survey.selection or any(map(is_junk_file, names)) or path.endswith(b"/statistics"):
        names = [name for name in names if name[-1] == _SLASH or _is_kept(path, relative, name, survey)]
    uri = uri_of(path)
    return _Open(
        os.path.join(path, b""), uri if uri.endswith("/") else f"{uri}/", relative, states, iter(names)
    )


def _is_new(name: bytes, pattern: PathPattern, states: States, earlier: list[Visit]) -> bool:
    text = os.fsdecode(name)
    return pattern.matches(states, text) and not any(
        visit.pattern.matches(visit.states, text) for visit in earlier
    )


def _is_kept(path: bytes, relative: str, name: bytes, survey: Survey) -> bool:
    # The folder's own name tells our records; the root's is not in `relative`.
    kept = not is_junk(os.path.join(os.path.basename(path), name) if relative else name)
    kept = kept and survey.selection.takes(relative + os.fsdecode(name))
    survey.ignored += not kept
    return kept


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link in a circle, or into a folder that is closed: its reading will fail


def _is_entry(folder: _Open, name: bytes, error: OSError, survey: Survey) -> bool:
    """Whether a folder that cannot be listed counts, as failed; not if it has vanished or is excluded."""
    if survey.selection.excludes(folder.relative + os.fsdecode(name)):
        survey.ignored += 1
        return False
    if survey.strict or error.errno in OF_THE_PROCESS:
        raise _refusal(folder.path + name[:-1], error) from error
    survey.vanished += error.errno in _GONE
    return error.errno not in _GONE


def _refusal(folder: bytes, error: OSError) -> UserError | StorageError:
    if error.errno in OF_THE_PROCESS:
        return StorageError(
            f"cannot list the folder ({error.strerror})",
            value=os.fsdecode(folder),
            hint="allow more open files by `ulimit -n`, or free memory",
        )
    return UserError(
        f"cannot list the folder ({error.strerror})",
        value=os.fsdecode(folder),
        hint="grant access, or leave it out by --exclude",
    )


def files_below(folder: bytes) -> Iterator[os.DirEntry[bytes]]:
    """Yield everything below a folder except folders, without following links.

    Folders that cannot be listed count as empty.
    """
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        yield entry
        except OSError:
            continue
