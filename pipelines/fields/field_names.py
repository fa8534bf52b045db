"""Determines an image's field and position: from its name, or from columns of the input list."""

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from digitmill.storage.listed_image import ListedImage
from pipelines.listing.named_images import FIELD_COLUMNS
from pipelines.listing.relative_names import RelativeNames, text_of
from schemas.errors import UserError

FIELD: Final = "field"
POSITION: Final = "position"
_FORMULA: Final = "=+-@\t\r"
"""First characters that spreadsheets take for those of a formula."""


class FieldPlace(NamedTuple):
    """A field's name and a position in it, which is None if it is not a whole number."""

    field: str
    position: int | None


@dataclasses.dataclass(frozen=True)
class FieldNames:
    """Finds an image's field by matching its name, relative to its input, with a pattern.

    Attributes:
        pattern: matches the whole relative name; has the groups `field` and `position`.
        names: names of images relative to the inputs.
    """

    pattern: re.Pattern[str]
    names: RelativeNames

    @classmethod
    def of(cls, pattern: str, inputs: Sequence[str]) -> Self:
        """Return the finder for a pattern and a plan's inputs.

        Raises:
            UserError: when the pattern cannot be used.
        """
        try:
            compiled = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise UserError(f"invalid --field ({error})", value=pattern, hint=_HINT) from error
        if not {FIELD, POSITION} <= set(compiled.groupindex):
            raise UserError("--field lacks the groups field and position", value=pattern, hint=_HINT)
        return cls(compiled, RelativeNames(tuple(inputs)))

    def place_of(self, uri: str) -> FieldPlace | None:
        """Return an image's place; None if its name does not match."""
        match = self.pattern.fullmatch(self._relative(uri))
        if match is None or not match[FIELD]:
            return None
        return field_place(match[FIELD], match[POSITION])

    def _relative(self, uri: str) -> str:
        name = self.names.name_of(uri)
        return text_of(uri).removeprefix("/") if name is None else name


def listed_place(image: ListedImage) -> FieldPlace | None:
    """Return an image's place in a field according to the input list; None if the list has none."""
    if not image.carried:
        return None
    field, position = map(json.loads(image.carried).get, FIELD_COLUMNS)
    return field_place(field, position) if field else None


_LONGEST: Final = 18
"""Digits of a position at most: Python reads no number of more than 4,300."""

_HINT: Final = r"give a regular expression such as '(?P<field>.+)/(?P<position>\d+)\.png'"


def field_place(field: str, position: str | None) -> FieldPlace:
    """Parse a place from texts; the default position is the first one."""
    if field[0] in _FORMULA:
        field = f"%{ord(field[0]):02X}{field[1:]}"
    if not position:
        return FieldPlace(field, 1)
    usable = position.isascii() and position.isdigit() and len(position) <= _LONGEST
    return FieldPlace(field, int(position) if usable else None)
