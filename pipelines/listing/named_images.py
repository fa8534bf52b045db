"""The images named by an input list, with their carried columns."""

import csv
import dataclasses
import gzip
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Self

from digitmill.storage import ImageReader, open_text
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import RealNames, path_hint, path_of, uri_in
from digitmill.storage.read_limits import ReadLimits
from schemas.errors import UserError, reason_of
from schemas.labels import named_image

FIELD_COLUMNS: Final = ("field", "position")
"""Columns that are always carried if the list has them: which digit of which field an image is."""

_NAME_COLUMNS: Final = ("path", "image")


@dataclasses.dataclass(frozen=True)
class NamedImages:
    """Unique URIs of images, sorted by name.

    Attributes:
        carried: carried columns of images, encoded as in `ListedImage`, by URI.
    """

    uris: Sequence[str]
    carried: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def find(self, limits: ReadLimits | None = None) -> Iterator[ListedImage]:
        """Look up the images and yield their current versions."""
        with ImageReader(limits) as reader:
            for uri, image in zip(self.uris, reader.find(self.uris), strict=True):
                carried = self.carried.get(uri)
                yield image._replace(carried=carried) if carried else image

    def part(self, start: int, end: int) -> Self:
        """Return the images with indices from `start` to `end`, exclusive."""
        return self._of(self.uris[start:end])

    def since(self, uri: str) -> Self:
        """Return the images from this URI on."""
        return self._of([each for each in self.uris if each >= uri])

    def _of(self, uris: Sequence[str]) -> Self:
        carried = {uri: self.carried[uri] for uri in uris if uri in self.carried}
        return dataclasses.replace(self, uris=uris, carried=carried)

    def to_bytes(self) -> bytes:
        """Return the images as the content of a file."""
        rows = [[uri, self.carried[uri]] if uri in self.carried else uri for uri in self.uris]
        return gzip.compress(json.dumps(rows).encode(), 1, mtime=0)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse the output of `to_bytes`."""
        rows = json.loads(gzip.decompress(data))
        pairs = [(row, "") if isinstance(row, str) else row for row in rows]
        return cls([uri for uri, _ in pairs], {uri: carried for uri, carried in pairs if carried})


def uri_key(uri: str) -> bytes:
    """Return the sort key of an image."""
    # Folders are walked in the order of their paths, which percent-encoding would change.
    return path_of(uri) if uri.startswith("file:") else uri.encode()


def read_names(given: str, *, carry: Sequence[str] = ()) -> NamedImages:
    """Read an input list with the columns to `carry`, and with `FIELD_COLUMNS` if it has both.

    Raises:
        UserError: when the file cannot be read, is empty, or lacks a column, or when two lines for the same
            image have different carried values.
    """
    real, carried = RealNames(), dict[str, str]()
    try:
        rows = list(_rows(_read(given), given, carry))
    except csv.Error as error:
        raise _unreadable(given, error) from error
    if not rows:
        raise UserError("the input list names no images", value=given, hint="write one path or URI per line")
    uris = set()
    for name, columns in rows:
        uri = real[uri_in(name, given)]
        if uri in uris and carried.get(uri, "") != columns:
            raise UserError(
                "the input list names an image twice, with different columns",
                value=name,
                hint=f"correct {given}: an image is in one field, and has one value in each carried column",
            )
        uris.add(uri)
        if columns:
            carried[uri] = columns
    return NamedImages(sorted(uris, key=uri_key), carried)


def has_fields(given: str) -> bool:
    """Whether an input list has the columns of fields; False if it cannot be read."""
    try:
        with open_text(given) as file:
            return {*FIELD_COLUMNS} <= {*_header(file)}
    except (OSError, UserError, csv.Error):
        return False  # reported when it is listed


def _read(given: str) -> str:
    try:
        with open_text(given) as file:
            text = file.read()
    except OSError as error:
        raise _unreadable(given, error) from error
    if "\0" in text:
        raise UserError("the input list is not UTF-8 text", value=given, hint="save it as UTF-8")
    return text


def _unreadable(given: str, error: Exception) -> UserError:
    return UserError(f"cannot read the input list ({reason_of(error)})", value=given, hint=path_hint(given))


def _header(lines: Iterable[str]) -> list[str]:
    """Return the columns of a CSV list; empty for a list with one name per line."""
    header = [cell.strip().lower() for cell in next(csv.reader(lines), [])]
    return header if {*_NAME_COLUMNS} & {*header} else []


def _rows(text: str, given: str, carry: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each line's name and carried values."""
    header = _header(io.StringIO(text, newline=""))
    missing = [name for name in carry if name.lower() not in header]
    if missing:
        raise UserError(
            "the input list lacks columns of --carry",
            value=", ".join(missing),
            hint=f"add them to {given}, which must be a CSV with a column path",
        )
    if not header:
        yield from ((name, "") for name in _lines(text))
        return
    names = {name: header.index(name) for name in _NAME_COLUMNS if name in header}
    fields = FIELD_COLUMNS if {*FIELD_COLUMNS} <= {*header} else ()
    places = {name: header.index(name.lower()) for name in dict.fromkeys((*carry, *fields))}
    for row in itertools.islice(csv.reader(io.StringIO(text, newline="")), 1, None):
        if name := named_image({each: row[at] for each, at in names.items() if len(row) > at}):
            found = {name: row[place] for name, place in places.items() if len(row) > place and row[place]}
            yield name, json.dumps(found, ensure_ascii=False) if found else ""


def _lines(text: str) -> Iterator[str]:
    lines = text.split("\n")
    # A name may end in a carriage return; if every line does, the file has Windows line ends.
    if all(line.endswith("\r") for line in lines if line):
        lines = [line.removesuffix("\r") for line in lines]
    yield from filter(None, lines)
