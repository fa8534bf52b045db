import subprocess
import sys

import pytest

_PROGRAM = """
import logging, sys
from pipelines.runners.local_beam import import_beam
import_beam(sys.argv[1:])
import apache_beam
assert not logging.root.handlers
print("LOADED", *(name for name in {names!r} if sys.modules.get(name)))
import pandas, google.cloud.storage, pymongo  # others may still need them
from apache_beam.internal.http_client import get_new_http
assert type(get_new_http()).__module__ == "httplib2"
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
]


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    program = _PROGRAM.format(names=_CLIENTS)
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
