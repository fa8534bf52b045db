"""Columns of a record: one annotated dataclass field, from which every file format follows."""

import dataclasses
from typing import Any, Literal, get_args

Kind = Literal["string", "integer", "number", "bytes"]


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a record as files know it.

    Attributes:
        name: CSV header cell, `tf.train.Example` feature and BigQuery column.
        kind: Table Schema type: UTF-8 text, int64 or float32; or bytes, which only TFRecords hold.
        nullable: whether a row may leave it out: an empty CSV cell, an absent feature, a NULL.
        minimum: least value, inclusive, in the column's unit.
        maximum: greatest value, inclusive.
        choices: the closed set of texts that may stand in it; empty when open.
        unique: whether no two rows of a run share its value.
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
        """Raises ValueError when `value` may not stand in this column."""
        if value is None:
            if not self.nullable:
                raise ValueError(f"{self.name} must have a value; got None")
            return
        too_low = self.minimum is not None and value < self.minimum  # type: ignore[operator]
        too_high = self.maximum is not None and value > self.maximum  # type: ignore[operator]
        if too_low or too_high or value != value:
            raise ValueError(f"{self.name} must be in [{self.minimum}, {self.maximum}]; got {value!r}")
        if self.kind == "string" and not value:
            # An empty CSV cell means "missing", so an empty text could not be told from none.
            raise ValueError(f"{self.name} must not be empty; got {value!r}")
        if self.choices and value not in self.choices:
            raise ValueError(f"{self.name} must be one of {', '.join(self.choices)}; got {value!r}")


def column(
    description: str,
    *,
    minimum: int | float | None = None,
    maximum: int | float | None = None,
    choices: tuple[str, ...] = (),
    unique: bool = False,
    default: object = dataclasses.MISSING,
) -> Any:
    """Declares a dataclass field as a column of a record; see `Column`. `default` is the field's."""
    limits = {"minimum": minimum, "maximum": maximum, "choices": choices, "unique": unique}
    return dataclasses.field(default=default, metadata={"description": description, **limits})


_KINDS: dict[type, Kind] = {str: "string", int: "integer", float: "number"}


def columns_of(record: type) -> tuple[Column, ...]:
    """Returns the columns of a dataclass whose fields were declared by `column`, in order."""
    return tuple(_as_column(field) for field in dataclasses.fields(record))


def _as_column(field: dataclasses.Field) -> Column:
    nullable = type(None) in get_args(field.type)
    value_type = get_args(field.type)[0] if nullable else field.type
    return Column(name=field.name, kind=_KINDS[value_type], nullable=nullable, **field.metadata)  # type: ignore[index]
