"""Manifest fields that identify the models of a run and the libraries that took part."""

import importlib.metadata
import pathlib
from collections.abc import Mapping
from typing import Any

from digitmill.engines.bundle_loader import Bundle
from digitmill.imaging.canonical import PREPROCESSING_VERSION
from digitmill.storage.names import printable
from pipelines.scoring.model_place import display_address
from pipelines.statistics.item_statistics import RunStatistics

_LIBRARIES = ("digitmill", "apache-beam", "numpy", "opencv-python-headless")


def describe_model(bundle: Bundle, given: pathlib.Path) -> Mapping[str, str]:
    """Returns the fields that identify a model, its engine included.

    Args:
        bundle: the model's bundle.
        given: its folder as the user gave it.
    """
    return {
        "path": printable(display_address(given)),
        "digest": bundle.digest,
        "recipe": bundle.card.recipe,
        "engine": bundle.engine.kind,
    }


def challenger_fields(
    challenger: Bundle | None, given: pathlib.Path | None, *, statistics: RunStatistics
) -> Mapping[str, Any]:
    """Returns the manifest's fields about a challenger; none without one.

    Args:
        challenger: the second model's bundle, or None.
        given: its folder as the user gave it.
        statistics: the run's.
    """
    if challenger is None or given is None:
        return {}
    return {
        "challenger": describe_model(challenger, given),
        "agreed": statistics.agreed,
        "challenger_right": statistics.challenger_right,
    }


def library_versions(*bundles: Bundle | None) -> Mapping[str, str]:
    """Returns the version of each library that took part, and of the preprocessing."""
    engines = {bundle.engine.library for bundle in bundles if bundle is not None}
    libraries = {name: importlib.metadata.version(name) for name in (*_LIBRARIES, *sorted(engines))}
    return {"preprocessing": PREPROCESSING_VERSION, **libraries}
