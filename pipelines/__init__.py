"""The scoring job: list, read, score, write once, reconcile, report. TensorFlow is loaded only on request.

For your own Beam pipelines, `pipelines` exports `ClassifyImages`, `ReadDigits` and
`BundleModelHandler`; see docs/beam.md.
"""

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.beam.composites import ClassifyImages, ReadDigits
    from pipelines.beam.model_handler import BundleModelHandler

__all__ = ["BundleModelHandler", "ClassifyImages", "ReadDigits", "score_options"]

_MODULES = {
    "BundleModelHandler": "pipelines.beam.model_handler",
    "ClassifyImages": "pipelines.beam.composites",
    "ReadDigits": "pipelines.beam.composites",
}


_BIGQUERY = "apache_beam.io.gcp.internal.clients.bigquery"

# Not by digitmill.extras: this package is imported before the import path is mended (digitmill.import_path).
if importlib.util.find_spec("apitools") is None:  # it comes with the extra gcp
    # Beam imports this module whenever it can, and the module warns of what it lacks: here it cannot.
    _modules: dict[str, Any] = sys.modules
    _modules.setdefault(_BIGQUERY, None)


def __getattr__(name: str) -> Any:
    # Imported on first use: Beam takes a second to import, and `--help` imports this package too.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
