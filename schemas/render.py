"""Writes a record's columns in the schema languages of the tools that read the outputs."""

import json
from collections.abc import Sequence

from schemas import failure, prediction
from schemas.columns import Column

_BIGQUERY_TYPES = {"string": "STRING", "integer": "INT64", "number": "FLOAT64"}
_TFMD_TYPES = {"string": "BYTES", "integer": "INT", "number": "FLOAT"}


def generated_files() -> dict[str, str]:
    """Returns the text of every generated file by its name in `schemas/generated/`."""
    return {
        "schema.pbtxt": tfmd_schema(prediction.COLUMNS),
        "predictions.tableschema.json": table_schema(prediction.COLUMNS),
        "predictions.bigquery.json": bigquery_schema(prediction.COLUMNS),
        "failures.tableschema.json": table_schema(failure.COLUMNS),
        "failures.bigquery.json": bigquery_schema(failure.COLUMNS),
    }


def table_schema(columns: Sequence[Column]) -> str:
    """Returns Frictionless Table Schema JSON: https://specs.frictionlessdata.io/table-schema/."""
    fields = [
        {
            "name": described.name,
            "type": described.kind,
            "description": described.description,
            "constraints": _constraints(described),
        }
        for described in columns
    ]
    return _json({"fields": fields, "missingValues": [""]})


def bigquery_schema(columns: Sequence[Column]) -> str:
    """Returns BigQuery schema JSON as `bq load --schema` takes it."""
    return _json(
        [
            {
                "name": described.name,
                "type": _BIGQUERY_TYPES[described.kind],
                "mode": "NULLABLE" if described.nullable else "REQUIRED",
                "description": described.description,
            }
            for described in columns
        ]
    )


def tfmd_schema(columns: Sequence[Column]) -> str:
    """Returns a TensorFlow Metadata `Schema` in protocol buffer text format."""
    return "\n".join(_tfmd_feature(described) for described in columns) + "\n"


def _constraints(described: Column) -> dict[str, object]:
    constraints: dict[str, object] = {} if described.nullable else {"required": True}
    if described.minimum is not None:
        constraints["minimum"] = described.minimum
    if described.maximum is not None:
        constraints["maximum"] = described.maximum
    if described.choices:
        constraints["enum"] = list(described.choices)
    if described.unique:
        constraints["unique"] = True
    return constraints


def _tfmd_feature(described: Column) -> str:
    fraction = "" if described.nullable else "\n    min_fraction: 1.0"
    return f"""feature {{
  name: {json.dumps(described.name)}
  annotation {{
    comment: {json.dumps(described.description)}
  }}
  type: {_TFMD_TYPES[described.kind]}
  presence {{{fraction}
    min_count: {0 if described.nullable else 1}
  }}
  shape {{
  }}{_tfmd_domain(described)}
}}"""


def _tfmd_domain(described: Column) -> str:
    if described.choices:
        values = "".join(f"\n    value: {json.dumps(str(choice))}" for choice in described.choices)
        return f"\n  string_domain {{{values}\n  }}"
    bounds = {"min": described.minimum, "max": described.maximum}
    lines = "".join(f"\n    {name}: {bound}" for name, bound in bounds.items() if bound is not None)
    domain = {"integer": "int_domain", "number": "float_domain"}
    return f"\n  {domain[described.kind]} {{{lines}\n  }}" if lines else ""


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
