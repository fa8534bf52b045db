"""Optional modules of some verbs and options, and the package extras that install them.

Checking whether a module is installed does not import it.
"""

import importlib.util
from collections.abc import Mapping
from typing import Final

from schemas.errors import UserError

MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    "train": ("tensorflow", "keras", "tensorflow_datasets", "tensorboard", "matplotlib"),
    "gcp": (
        "google.auth",
        "google.cloud.storage",
        "google.cloud.dataflow",
        "google.cloud.aiplatform",
        "build",
    ),
    "tune": ("optuna", "hypertune"),
    "notebook": ("pandas", "ipywidgets"),
    "formats": ("pillow_heif", "pypdfium2"),
    "openvino": ("openvino",),
}
"""Extras of pyproject.toml, and the modules by which each is known to be there."""

_NAMES: Final[Mapping[str, str]] = {
    "build": "build",
    "google.auth": "Google's clients",
    "google.cloud.aiplatform": "the client of Vertex AI",
    "google.cloud.dataflow": "the client of Dataflow",
    "google.cloud.storage": "the client of Google Cloud Storage",
    "keras": "Keras",
    "openvino": "OpenVINO",
    "optuna": "Optuna",
    "polars": "Polars",
    "tensorflow": "TensorFlow",
    "tensorflow_datasets": "TensorFlow Datasets",
}
"""What modules are called in sentences, where that is not their name."""


def is_installed(module: str) -> bool:
    """Whether a module is installed; imports its parent packages, but not the module."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def install_line(module: str) -> str:
    """Return the command that installs a module: its extra, or the module by name."""
    extra = next((extra for extra, modules in MODULES.items() if module in modules), None)
    return f"pip install 'digitmill[{extra}]'" if extra else f"pip install {module}"


def require(module: str, *, wanted: str, otherwise: str = "") -> None:
    """Raise an error with the install command if a module is not installed.

    Args:
        module: dotted name of the module, as in `MODULES` if an extra has it.
        wanted: what needs the module, as the user gave it: a verb, a flag with its value, a path.
        otherwise: an alternative, as an imperative.

    Raises:
        UserError: when the module is not installed.
    """
    if not is_installed(module):
        raise missing(module, wanted=wanted, otherwise=otherwise)


def missing(module: str, *, wanted: str, otherwise: str = "") -> UserError:
    """Return the error for a missing module; see `require`."""
    hint = f"run {install_line(module)}" + (f", or {otherwise}" if otherwise else "")
    return UserError(f"{_NAMES.get(module, module)} is not installed", value=wanted, hint=hint)
