"""What only some verbs and options need, and the extra of the package that brings it.

Nothing is imported to find out whether it is there.
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
    """Whether a module can be imported; it is not, though the packages that hold it are."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def install_line(module: str) -> str:
    """Return the command that installs a module: by the extra that has it, or by its own name."""
    extra = next((extra for extra, modules in MODULES.items() if module in modules), None)
    return f"pip install 'digitmill[{extra}]'" if extra else f"pip install {module}"


def require(module: str, *, wanted: str, otherwise: str = "") -> None:
    """Refuse what needs a module that is not installed, with the line that installs it.

    Args:
        module: its dotted name, of `MODULES` where an extra has it.
        wanted: what needs it, as it was given: a verb, a flag with its value, a place.
        otherwise: what else can be done, as an imperative.

    Raises:
        UserError: when it is not installed.
    """
    if not is_installed(module):
        raise missing(module, wanted=wanted, otherwise=otherwise)


def missing(module: str, *, wanted: str, otherwise: str = "") -> UserError:
    """Return the error of something that needs a module that is not installed; see `require`."""
    hint = f"run {install_line(module)}" + (f", or {otherwise}" if otherwise else "")
    return UserError(f"{_NAMES.get(module, module)} is not installed", value=wanted, hint=hint)
