"""Imports Beam for a pipeline in the launcher's process, without modules that it does not need there.

If they are installed, `import apache_beam` imports the clients of Google Cloud, AWS, Azure, Hadoop and
MongoDB, and pandas and Arrow, which takes 1.4 of 2.05 s of processor time. Beam works without them, and a
local run uses none: digitmill's own storage reads and writes buckets.
"""

import contextlib
import functools
import importlib
import logging
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_NEVER: Final = ("IPython",)
"""Modules that a command needs at no time; Beam asks IPython whether it runs in a notebook."""

_OPTIONAL: Final = (
    "apache_beam.io.aws.s3filesystem",
    "apache_beam.io.azure.blobstoragefilesystem",
    "apache_beam.io.gcp.bigquery",
    "apache_beam.io.gcp.gcsfilesystem",
    "apache_beam.io.gcp.internal.clients.bigquery",
    "apache_beam.io.hadoopfilesystem",
    "absl",
    "apitools",
    "bson",
    "google.auth",
    "google.cloud",
    "pandas",
    "pyarrow",
    "pymongo",
)
"""Modules that Beam imports if it can; others may need them later."""

_DEFERRED: Final[Mapping[str, Sequence[str]]] = {
    "cryptography.fernet": ["Fernet"],
    "fastavro": ["parse_schema", "schemaless_reader", "schemaless_writer"],
    "fastavro.read": ["block_reader"],
    "fastavro.write": ["Writer"],
    "httplib2": [],
    "proto": [],
}
"""Modules that Beam always imports and a local run never uses, with the functions and classes that Beam takes
out of them at once. With beartype, they are a quarter of its import."""


class _Deferred(types.ModuleType):
    """Stands in for a module that is imported when something of it is needed."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _DEFERRED[self.__name__]:
            return functools.partial(self._call, name)
        return getattr(importlib.import_module(self.__name__), name)

    def _call(self, name: str, *given: Any, **named: Any) -> Any:
        return getattr(importlib.import_module(self.__name__), name)(*given, **named)


class _HintError(Exception):
    """Stands in for `beartype.roar.BeartypeDoorException`, which Beam catches."""


def _is_subhint(hint: object, other: object) -> bool:
    """Stand in for `beartype.door.is_subhint`, which Beam calls for type hints that are classes."""
    door, roar = importlib.import_module("beartype.door"), importlib.import_module("beartype.roar")
    try:
        return bool(door.is_subhint(hint, other))
    except roar.BeartypeDoorException as error:
        raise _HintError from error


_BEARTYPE: Final = {
    "beartype.door": types.SimpleNamespace(is_subhint=_is_subhint),
    "beartype.roar": types.SimpleNamespace(BeartypeDoorException=_HintError),
}


def import_beam(flags: Sequence[str]) -> None:
    """Import Beam for a run: fully if there are any Beam flags, because they may name another runner.

    Only for a process that runs one command: modules that Beam was imported without stay missing.
    """
    if flags or "apache_beam" in sys.modules:
        return
    modules: dict[str, Any] = sys.modules
    logger = logging.getLogger("apache_beam.io.mongodbio")
    # Python refuses to import a module that is None here, as if it were not installed. Some may be there
    # before: google.cloud is a namespace.
    before = {name: modules.get(name) for name in (*_OPTIONAL, *_DEFERRED, *_BEARTYPE)}
    modules.update(dict.fromkeys((*_NEVER, *_OPTIONAL)))
    modules.update({name: _Deferred(name) for name in _DEFERRED} | _BEARTYPE)
    logger.disabled = True  # it logs that pymongo is missing
    try:
        importlib.import_module("apache_beam")
    finally:
        logger.disabled = False
        for name, module in before.items():
            del modules[name]
            if module is not None:
                modules[name] = module


@contextlib.contextmanager
def plain_pipelines() -> Iterator[None]:
    """Context manager in which Beam makes plain pipelines, even in a notebook.

    In a notebook, Beam imports its interactive runner to name steps after cells. That import takes seconds,
    and fails if pandas is missing or newer than 2.
    """
    from apache_beam import pipeline

    kept = pipeline.alter_label_if_ipython, pipeline.is_in_ipython
    pipeline.alter_label_if_ipython, pipeline.is_in_ipython = (lambda *_: None), (lambda: False)
    try:
        yield
    finally:
        pipeline.alter_label_if_ipython, pipeline.is_in_ipython = kept
