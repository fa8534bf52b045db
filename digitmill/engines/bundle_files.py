"""Reads the files of a model bundle, wherever its folder is."""

import os
import pathlib
import stat

from digitmill.storage import read_place
from digitmill.storage.local_input import read_regular_file
from digitmill.storage.names import local_path, path_hint
from digitmill.storage.object_stores.uris import is_object
from schemas.errors import UserError
from schemas.model import bundle

_IN_A_RUN = "bundle"
"""Folder of the bundle in a run folder of `digitmill train`."""


def read_bundle_file(place: str, name: str) -> bytes:
    """Return a file of a bundle, local or in a bucket; raise UserError when it cannot be read."""
    try:
        return read_file(place, name)
    except OSError as error:
        raise UserError(
            f"cannot read a file of the bundle ({error.strerror})",
            value=f"{place.rstrip('/')}/{name}",
            hint="check its permissions, or copy the bundle again",
        ) from error


def read_file(place: str, name: str) -> bytes:
    """Return a file of a folder, local or in a bucket.

    Raises:
        OSError: when a local file cannot be read, is not a regular file, or is a link out of the folder.
        UserError: when an object cannot be read.
    """
    if is_object(place):
        return read_place(f"{place.rstrip('/')}/{name}")
    return _read_local_file(pathlib.Path(absolute_place(place)), name)


def absolute_place(place: str) -> str:
    """Return a folder as an absolute path, or as the URI of a bucket's folder."""
    return place if is_object(place) else os.path.abspath(local_path(place))


def _read_local_file(folder: pathlib.Path, name: str) -> bytes:
    # Pipes and devices are not opened.
    file = folder / name
    try:
        real = pathlib.Path(os.path.realpath(file, strict=True))
    except ValueError as error:  # a name with a NUL, or that no file system can hold
        raise FileNotFoundError(0, str(error), str(file)) from error
    if not real.is_relative_to(os.path.realpath(folder)):
        raise PermissionError(0, "a link leads out of the bundle", str(file))
    if not stat.S_ISREG(real.stat().st_mode):
        raise OSError(0, "not a regular file", str(file))
    # It may have been replaced since.
    return read_regular_file(real, flags=os.O_NOFOLLOW)


def read_card(place: str) -> bytes:
    """Return the bytes of a bundle's card. A folder without a card is not a bundle.

    Raises:
        UserError: when the card cannot be read.
    """
    try:
        return read_bundle_file(place, bundle.CARD)
    except UserError as error:
        raise _no_bundle(place, error) from error.__cause__


def _no_bundle(place: str, error: UserError) -> UserError:
    """Return the error for a place without a readable card, with the bundle that was meant if it is near."""
    if is_object(place):
        hint = f"give the bundle folder that `digitmill train` wrote: {error.hint}"
        return UserError(f"not a model bundle, {bundle.CARD} cannot be read", value=place, hint=hint)
    path = local_path(place)
    if not os.path.lexists(path):
        hint = path_hint(place, "give the bundle folder that `digitmill train` wrote")
        return UserError("model bundle not found", value=place, hint=hint)
    if os.path.exists(os.path.join(path, _IN_A_RUN, bundle.CARD)):
        hint = f"did you mean {os.path.join(place, _IN_A_RUN)}?"
    elif os.path.basename(path) == bundle.CARD:
        hint = f"did you mean {os.path.dirname(path) or '.'}?"
    elif os.path.lexists(os.path.join(path, bundle.CARD)):
        return error
    else:
        hint = "give the bundle folder that `digitmill train` wrote"
    return UserError(f"not a model bundle, it has no {bundle.CARD}", value=place, hint=hint)
