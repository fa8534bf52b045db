import json

import pytest
from google.cloud import bigquery
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from schemas import failure, prediction
from schemas.__main__ import GENERATED
from schemas.render import bigquery_schema, generated_files, table_schema, tfmd_schema

RECORDS = pytest.mark.parametrize("columns", [prediction.COLUMNS, failure.COLUMNS, prediction.FIELD_COLUMNS])


def test_the_committed_files_are_what_the_records_say() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in GENERATED.iterdir()}
    assert committed == generated_files(), "run `make schemas`"


@RECORDS
def test_the_tfmd_schema_parses_and_names_every_column(columns: tuple) -> None:
    schema = text_format.Parse(tfmd_schema(columns), schema_pb2.Schema())
    kinds = {"string": schema_pb2.BYTES, "integer": schema_pb2.INT, "number": schema_pb2.FLOAT}
    assert [(feature.name, feature.type) for feature in schema.feature] == [
        (described.name, kinds[described.kind]) for described in columns
    ]
    for feature, described in zip(schema.feature, columns, strict=True):
        assert feature.presence.min_fraction == (0.0 if described.nullable else 1.0)
        assert list(feature.string_domain.value) == list(described.choices)
        assert feature.HasField("int_domain") == (described.kind == "integer")


@RECORDS
def test_the_table_schema_is_valid(columns: tuple) -> None:
    import frictionless

    schema = frictionless.Schema.from_descriptor(json.loads(table_schema(columns)))
    assert schema.field_names == [described.name for described in columns]


@RECORDS
def test_the_bigquery_schema_is_what_its_client_takes(columns: tuple) -> None:
    fields = [bigquery.SchemaField.from_api_repr(field) for field in json.loads(bigquery_schema(columns))]
    types = {"string": "STRING", "integer": "INT64", "number": "FLOAT64"}
    assert [(field.name, field.field_type, field.is_nullable) for field in fields] == [
        (described.name, types[described.kind], described.nullable) for described in columns
    ]
