"""Renders the columns of records as schemas for the tools that read the outputs."""

import json
from collections.abc import Sequence

from schemas import failure, prediction
from schemas.columns import Column

_BIGQUERY_TYPES = {"string": "STRING", "integer": "INT64", "number": "FLOAT64"}
_PARQUET_TYPES = {"string": "binary {} (STRING)", "integer": "int64 {}", "number": "float {}"}
_TFMD_TYPES = {"string": "BYTES", "integer": "INT", "number": "FLOAT"}


def generated_files() -> dict[str, str]:
    """Return the text of every generated file by its name in `schemas/generated/`."""
    return {
        "schema.pbtxt": tfmd_schema(prediction.COLUMNS),
        "predictions.tableschema.json": table_schema(prediction.COLUMNS),
        "predictions.bigquery.json": bigquery_schema(prediction.COLUMNS),
        "predictions.parquet.txt": parquet_schema("predictions", prediction.COLUMNS),
        "failures.tableschema.json": table_schema(failure.COLUMNS),
        "failures.bigquery.json": bigquery_schema(failure.COLUMNS),
        "fields.tableschema.json": table_schema(prediction.FIELD_COLUMNS),
    }


def table_schema(columns: Sequence[Column]) -> str:
    """Return Frictionless Table Schema JSON: https://specs.frictionlessdata.io/table-schema/."""
    fields = [
        {
            "name": column.name,
            "type": column.kind,
            "description": column.description,
            "constraints": _constraints(column),
        }
        for column in columns
    ]
    return _json({"fields": fields, "missingValues": [""]})


def bigquery_schema(columns: Sequence[Column]) -> str:
    """Return a BigQuery schema as JSON, for `bq load --schema`."""
    return _json(
        [
            {
                "name": column.name,
                "type": _BIGQUERY_TYPES[column.kind],
                "mode": "NULLABLE" if column.nullable else "REQUIRED",
                "description": column.description,
            }
            for column in columns
        ]
    )


def parquet_schema(name: str, columns: Sequence[Column]) -> str:
    """Return a Parquet schema in the `message` notation that Parquet tools print."""
    fields = "".join(
        f"  {'optional' if each.nullable else 'required'} {_PARQUET_TYPES[each.kind].format(each.name)};\n"
        for each in columns
    )
    return f"message {name} {{\n{fields}}}\n"


def tfmd_schema(columns: Sequence[Column]) -> str:
    """Return a TensorFlow Metadata `Schema` in protocol buffer text format."""
    return "\n".join(_tfmd_feature(column) for column in columns) + "\n"


def _constraints(column: Column) -> dict[str, object]:
    constraints = {
        "required": not column.nullable or None,
        "minimum": column.minimum,
        "maximum": column.maximum,
        "enum": list(column.choices) or None,
        "unique": column.unique or None,
    }
    return {name: value for name, value in constraints.items() if value is not None}


def _tfmd_feature(column: Column) -> str:
    fraction = "" if column.nullable else "\n    min_fraction: 1.0"
    return f"""feature {{
  name: {json.dumps(column.name)}
  annotation {{
    comment: {json.dumps(column.description)}
  }}
  type: {_TFMD_TYPES[column.kind]}
  presence {{{fraction}
    min_count: {0 if column.nullable else 1}
  }}
  shape {{
  }}{_tfmd_domain(column)}
}}"""


def _tfmd_domain(column: Column) -> str:
    if column.choices:
        values = "".join(f"\n    value: {json.dumps(str(choice))}" for choice in column.choices)
        return f"\n  string_domain {{{values}\n  }}"
    bounds = {"min": column.minimum, "max": column.maximum}
    lines = "".join(f"\n    {name}: {bound}" for name, bound in bounds.items() if bound is not None)
    domain = {"integer": "int_domain", "number": "float_domain"}
    return f"\n  {domain[column.kind]} {{{lines}\n  }}" if lines else ""


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
