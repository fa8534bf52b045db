import subprocess
import sys

import pytest

_PROGRAM = """
import logging, sys
from pipelines.runners.local_beam import import_beam
import_beam(sys.argv[1:])
import apache_beam
assert not logging.root.handlers
print("LOADED", *(name for name in NAMES if sys.modules.get(name)))
import pandas, google.cloud.storage, pymongo  # others may still need them
from apache_beam.internal.http_client import get_new_http
assert type(get_new_http()).__module__ == "httplib2"
from apache_beam.coders import AvroGenericCoder, ProtoPlusCoder
from apache_beam.coders.avro_record import AvroRecord
schema = '{"type": "record", "name": "r", "fields": [{"name": "a", "type": "long"}]}'
coder = AvroGenericCoder(schema)
assert coder.decode(coder.encode(AvroRecord({"a": 3}))).record == {"a": 3}
import proto
ProtoPlusCoder.from_type_hint(proto.Message, None)
from apache_beam.typehints import typehints
assert typehints.is_consistent_with(typehints.Any, typehints.Any)
assert typehints.is_consistent_with(bool, int) and not typehints.is_consistent_with(str, int)
assert not typehints.is_consistent_with(int, "no hint of any kind")
with apache_beam.Pipeline("FnApiRunner") as pipeline:
    _ = pipeline | apache_beam.Create([2, 3]) | apache_beam.Map(lambda n: n * n) | apache_beam.Map(print)
"""
_CLIENTS = [
    "google.cloud.storage",
    "google.cloud.bigquery",
    "boto3",
    "pandas",
    "pyarrow",
    "pymongo",
    "IPython",
    "httplib2",
    "absl",
    "beartype",
    "bson",
    "cryptography",
    "fastavro",
    "proto",
]


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    program = _PROGRAM.replace("NAMES", repr(_CLIENTS))
    return subprocess.run([sys.executable, "-c", program, *flags], capture_output=True, text=True, check=True)


@pytest.mark.slow
def test_a_local_run_imports_no_client_of_a_store() -> None:
    done = run()
    first, *rest = done.stdout.splitlines()
    assert (first, sorted(rest), done.stderr) == ("LOADED", ["4", "9"], "")


@pytest.mark.slow
def test_with_flags_beam_is_imported_whole() -> None:
    first, *rest = run("--runner=DataflowRunner").stdout.splitlines()
    assert {"google.cloud.storage", "google.cloud.bigquery", "pandas"} <= set(first.split())
    assert sorted(rest) == ["4", "9"]
