"""Columns of a record, each declared once as a dataclass field for all file formats."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

Kind = Literal["string", "integer", "number", "bytes"]


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a record in files.

    Attributes:
        name: CSV header cell, `tf.train.Example` feature and BigQuery column.
        kind: Table Schema type: UTF-8 text, int64 or float32; bytes only in TFRecords.
        nullable: whether the value may be missing: an empty CSV cell, an absent feature, a NULL.
        minimum: lowest value, inclusive.
        maximum: highest value, inclusive.
        choices: the closed set of allowed texts; empty if any text is allowed.
        unique: whether no two rows of a run share a value.
        description: one sentence for people.
    """

    name: str
    kind: Kind
    nullable: bool
    description: str
    minimum: int | float | None = None
    maximum: int | float | None = None
    choices: tuple[str, ...] = ()
    unique: bool = False

    def check(self, value: object) -> None:
        """Raise ValueError when `value` is not valid in this column."""
        if value is None:
            if not self.nullable:
                raise ValueError(f"{self.name} must not be missing")
            return
        too_low = self.minimum is not None and value < self.minimum  # type: ignore[operator]
        too_high = self.maximum is not None and value > self.maximum  # type: ignore[operator]
        if too_low or too_high or value != value:
            raise ValueError(f"{self.name} must be in [{self.minimum}, {self.maximum}]; got {value!r}")
        if self.kind == "string" and not value:
            # In a CSV, an empty text would look like a missing value.
            raise ValueError(f"{self.name} must not be empty; got {value!r}")
        if self.choices and value not in self.choices:
            raise ValueError(f"{self.name} must be one of {', '.join(self.choices)}; got {value!r}")


def column(
    description: str, *, default: object = dataclasses.MISSING, kw_only: bool = False, **limits: Any
) -> Any:
    """Declare a dataclass field as a column; `limits` sets other fields of `Column`."""
    metadata = {"description": description, **limits}
    return dataclasses.field(default=default, kw_only=kw_only, metadata=metadata)


_KINDS: dict[type, Kind] = {str: "string", int: "integer", float: "number"}


@functools.cache
def columns_of(record: type) -> tuple[Column, ...]:
    """Return the columns of a dataclass whose fields are declared with `column`, in order."""
    return tuple(_as_column(field) for field in dataclasses.fields(record))


def _as_column(field: dataclasses.Field) -> Column:
    nullable = type(None) in get_args(field.type)
    value_type = get_args(field.type)[0] if nullable else field.type
    return Column(name=field.name, kind=_KINDS[value_type], nullable=nullable, **field.metadata)  # type: ignore[index]


class Record:
    """Base class of dataclasses whose fields are columns; checks their values."""

    def __post_init__(self) -> None:
        for each in columns_of(type(self)):  # type: ignore[arg-type]
            each.check(getattr(self, each.name))


_DTYPES: dict[Kind, str] = {"bytes": "string", "string": "string", "integer": "int64", "number": "float32"}

FeatureSpec = dict[str, tuple[tuple[int, ...], str, int | float | str | None]]


def feature_spec_of(columns: Iterable[Column], absent: Mapping[Kind, int | float | str]) -> FeatureSpec:
    """Return shape, dtype and default of each feature, as arguments of `tf.io.FixedLenFeature`.

    Args:
        columns: the record's columns.
        absent: defaults of nullable columns, by kind.
    """
    return {
        column.name: ((), _DTYPES[column.kind], absent[column.kind] if column.nullable else None)
        for column in columns
    }
