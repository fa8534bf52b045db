"""Reads the files of a model bundle, wherever its folder is."""

from digitmill.storage import open_place
from schemas.errors import UserError
from schemas.model import bundle


def read_bundle_file(place: str, name: str) -> bytes:
    """Returns a file of a bundle, local or in a bucket; raises UserError when it cannot be read."""
    with open_place(f"{place.rstrip('/')}/{name}") as file:
        return file.read()


def read_card(place: str) -> bytes:
    """Returns the bytes of a bundle's card, which says whether a folder is a bundle.

    Raises:
        UserError: when it cannot be read.
    """
    try:
        return read_bundle_file(place, bundle.CARD)
    except UserError as error:
        raise UserError(
            f"not a model bundle, there is no {bundle.CARD}",
            value=place,
            hint=f"give the bundle folder that `digitmill train` wrote; {error.hint}",
        ) from error
