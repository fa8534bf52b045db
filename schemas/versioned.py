"""Records as JSON files that state their format, so that a reader refuses a format it does not know."""

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
"""Levels of lists and objects within one another that a record may have; its own are fewer than ten."""


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON text from a user or an output holds.

    Raises:
        ValueError: when it is not JSON in UTF-8, or nested more deeply than Python reads.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its lists and objects are nested too deeply") from None


@contextlib.contextmanager
def fields_of(what: str) -> Iterator[None]:
    """Context manager that raises ValueError when the JSON data read in it has not the fields of `what`."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"wrong fields for {what}: {error}") from error


def check_types(rows: Iterable[Sequence[Any]], kinds: tuple[type, ...]) -> None:
    """Raise TypeError when a row has values of other types; it may lack the last ones."""
    # Of millions of rows nearly all are alike.
    for found in {tuple(map(type, row)) for row in rows}:
        if found != kinds[: len(found)]:
            raise TypeError(f"a row of {', '.join(kind.__name__ for kind in found)}")


class VersionedRecord:
    """Base of frozen dataclasses that are JSON files.

    A subclass states what it is, with an article, for error messages, and the fields that identify the kind
    of file, at least its `format`, which come first: `class Plan(VersionedRecord, what="a plan", format=1)`.
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
        """Read what `to_json` wrote.

        Raises:
            ValueError: when the text is not JSON, is of another kind or format, or when a field is missing,
                unknown or of a wrong type.
        """
        fields = parse_json(text)
        head = cls._head
        if not isinstance(fields, dict) or {name: fields.pop(name, None) for name in head} != head:
            raise ValueError(f"not {cls._what} of format {head['format']}")
        return decode(cls, fields, what=cls._what)

    def _fields(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload]


def shallow_fields(record: Any) -> dict[str, Any]:
    """Return a dataclass' fields by name, uncopied; as the `default` of `json.dumps` for nested ones."""
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def decode(record: type[T], fields: Any, *, what: str) -> T:
    """Return a dataclass from JSON data, as `dataclasses.asdict` gives it, nested ones included.

    Args:
        record: the dataclass.
        fields: its fields.
        what: the record with its article, for error messages.

    Raises:
        ValueError: when a field is missing, unknown or of a wrong type.
    """
    with fields_of(what):
        _check_depth(fields)
        return _decode(record, fields)


def _check_depth(value: Any) -> None:
    """Raise ValueError for data so deep that whatever prints or copies it would fail."""
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
    # Of millions of rows nearly all are alike, and decoding each field by itself takes ten times as long.
    hints = _type_hints(kind)
    shapes = {(*row, *map(type, row.values())) if type(row) is dict else None for row in rows}
    return all(
        shape is not None and all(map(_is_plain, map(hints.get, shape), shape[len(shape) // 2 :]))
        for shape in shapes
    )


def _is_plain(hint: Any, kind: type) -> bool:
    return hint in _PLAIN and (kind is hint or (hint is float and kind is int))


def _checked(kind: type, value: Any) -> Any:
    """Return a value of JSON; raise TypeError when it is of another type than its field."""
    # A truth is an int to Python, and a number without a fraction is an int in JSON.
    if type(value) is not kind and (kind is not float or type(value) is not int):
        raise TypeError(f"{value!r:.100} is not of type {kind.__name__}")
    return value


_PLAIN: Final = frozenset({str, int, float, bool})
"""Types of fields that JSON has too."""

_type_hints = functools.cache(typing.get_type_hints)
