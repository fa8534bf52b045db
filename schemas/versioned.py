"""Records stored as JSON files with a format version; readers refuse versions they do not know."""

import contextlib
import dataclasses
import functools
import json
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Self, TypeVar

T = TypeVar("T")

_LEVELS: Final = 32
"""Maximum nesting depth of a record's JSON; real records have fewer than ten levels."""


def parse_json(text: str | bytes) -> Any:
    """Parse JSON text from a user or from an output.

    Raises:
        ValueError: when it is not JSON in UTF-8, or nested too deeply for Python to parse.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its lists and objects are nested too deeply") from None


@contextlib.contextmanager
def fields_of(what: str) -> Iterator[None]:
    """Context manager that raises ValueError when JSON data lacks the fields of `what`."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"wrong fields for {what}: {error}") from error


def check_types(rows: Iterable[Sequence[Any]], kinds: tuple[type, ...]) -> None:
    """Raise TypeError when a row has values of other types; trailing values may be missing."""
    # Nearly all of millions of rows have the same types, so check each combination once.
    for found in {tuple(map(type, row)) for row in rows}:
        if found != kinds[: len(found)]:
            raise TypeError(f"a row of {', '.join(kind.__name__ for kind in found)}")


class VersionedRecord:
    """Base class of frozen dataclasses stored as JSON files.

    A subclass passes `what`, its name with an article for error messages, and the fields that identify the
    kind of file, at least `format`. These come first in the file. For example:
    `class Plan(VersionedRecord, what="a plan", format=1)`.
    """

    _what: ClassVar[str]
    _head: ClassVar[Mapping[str, Any]]

    def __init_subclass__(cls, *, what: str, **head: Any) -> None:
        cls._what, cls._head = what, head

    def to_json(self) -> str:
        """Return the record as the text of its file."""
        return json.dumps({**self._head, **self._fields()}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the output of `to_json`.

        Raises:
            ValueError: when the text is not JSON, has another kind or format, or when a field is missing,
                unknown or of the wrong type.
        """
        fields = parse_json(text)
        head = cls._head
        if not isinstance(fields, dict) or {name: fields.pop(name, None) for name in head} != head:
            raise ValueError(f"not {cls._what} of format {head['format']}")
        return decode(cls, fields, what=cls._what)

    def _fields(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload]


def shallow_fields(record: Any) -> dict[str, Any]:
    """Return a dataclass's fields by name without copying; usable as the `default` of `json.dumps`."""
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def decode(record: type[T], fields: Any, *, what: str) -> T:
    """Build a dataclass, including nested ones, from JSON data in the form of `dataclasses.asdict`.

    Args:
        record: the dataclass.
        fields: the JSON data.
        what: the record's name with an article, for error messages.

    Raises:
        ValueError: when a field is missing, unknown or of the wrong type.
    """
    with fields_of(what):
        _check_depth(fields)
        return _decode(record, fields)


def _check_depth(value: Any) -> None:
    """Raise ValueError for data nested too deeply to print or copy."""
    level = [value]
    for _ in range(_LEVELS):
        nested = [each.values() if isinstance(each, dict) else each for each in level]
        level = [inner for each in nested for inner in each if isinstance(inner, dict | list)]
        if not level:
            return
    raise ValueError("its lists and objects are nested too deeply")


def _decode(kind: Any, value: Any) -> Any:
    if kind in _PLAIN:
        return _checked(kind, value)
    arguments = typing.get_args(kind)
    if hasattr(kind, "from_fields"):
        return kind.from_fields(value)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        types_of_fields = _type_hints(kind)
        return kind(**{name: _decode(types_of_fields.get(name), each) for name, each in value.items()})
    origin = typing.get_origin(kind)
    if origin is Mapping:
        return {name: _decode(arguments[1], each) for name, each in value.items()}
    if origin is Collection or (origin is tuple and arguments[-1] is Ellipsis):
        rows = _checked(list, value)
        record = arguments[0]
        alike = dataclasses.is_dataclass(record) and _are_alike(record, rows)
        return tuple(record(**row) if alike else _decode(record, row) for row in rows)
    if origin is tuple:
        return tuple(_decode(*pair) for pair in zip(arguments, _checked(list, value), strict=True))
    if origin is types.UnionType:
        plain = tuple(each for each in arguments if each in _PLAIN or each is types.NoneType)
        whole = float in plain and isinstance(value, int)
        return value if whole or isinstance(value, plain) else _decode(arguments[0], value)
    return value


def _are_alike(kind: Any, rows: Sequence[Any]) -> bool:
    """Whether all rows have the plain fields of a dataclass, of the right types."""
    if hasattr(kind, "from_fields"):
        return False
    # Nearly all of millions of rows are alike, and decoding field by field takes ten times as long.
    hints = _type_hints(kind)
    shapes = {(*row, *map(type, row.values())) if type(row) is dict else None for row in rows}
    return all(
        shape is not None and all(map(_is_plain, map(hints.get, shape), shape[len(shape) // 2 :]))
        for shape in shapes
    )


def _is_plain(hint: Any, kind: type) -> bool:
    return hint in _PLAIN and (kind is hint or (hint is float and kind is int))


def _checked(kind: type, value: Any) -> Any:
    """Return a JSON value; raise TypeError when its type differs from the field's."""
    # In Python a bool is an int, and JSON writes a float without a fraction as an int.
    if type(value) is not kind and (kind is not float or type(value) is not int):
        raise TypeError(f"{value!r:.100} is not of type {kind.__name__}")
    return value


_PLAIN: Final = frozenset({str, int, float, bool})
"""Field types that exist in JSON too."""

_type_hints = functools.cache(typing.get_type_hints)
