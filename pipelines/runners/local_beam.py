"""Imports Beam for a pipeline in the launcher's process, without modules that it does not need there.

If they are installed, `import apache_beam` imports the clients of Google Cloud, AWS, Azure, Hadoop and
MongoDB, and pandas and Arrow, which takes 1.4 of 2.05 s of processor time. Beam works without them, and a
local run uses none: digitmill's own storage reads and writes buckets.
"""

import contextlib
import importlib
import logging
import sys
import types
from collections.abc import Iterator, Sequence
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
    "apitools",
    "google.auth",
    "google.cloud",
    "pandas",
    "pyarrow",
    "pymongo",
)
"""Modules that Beam imports if it can; others may need them later."""

_DEFERRED: Final = ("httplib2",)
"""Modules that Beam imports always and a local run never uses: this one takes a twentieth of its import."""


class _Deferred(types.ModuleType):
    """Stands in for a module that is imported when something of it is needed."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def import_beam(flags: Sequence[str]) -> None:
    """Import Beam for a run: fully if there are any Beam flags, because they may name another runner.

    Only for a process that runs one command: modules that Beam was imported without stay missing.
    """
    if flags or "apache_beam" in sys.modules:
        return
    modules: dict[str, Any] = sys.modules
    logger = logging.getLogger("apache_beam.io.mongodbio")
    # Python refuses to import a module that is None here, as if it were not installed.
    before = {name: modules.get(name) for name in (*_OPTIONAL, *_DEFERRED)}  # google.cloud: a namespace
    modules.update(dict.fromkeys((*_NEVER, *_OPTIONAL)))
    modules.update({name: _Deferred(name) for name in _DEFERRED})
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
