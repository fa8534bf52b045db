"""Chooses the engine for a bundle's model: from `--engine`, or from the card and the machine."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Final

from digitmill import extras
from digitmill.native_log import quiet_stderr
from schemas.errors import UserError, counted
from schemas.model import bundle
from schemas.model.bundle import EngineKind
from schemas.model.model_card import ModelCard

SAVED_MODEL_FILE: Final = f"{bundle.SAVED_MODEL}/saved_model.pb"
"""The file that makes a folder a SavedModel."""

_OTHERWISE: Final = "use --engine litert"

_MODELS: Final = {
    EngineKind.LITERT: bundle.LITERT_MODEL,
    EngineKind.LITERT_INT8: bundle.LITERT_INT8_MODEL,
    EngineKind.OPENVINO: bundle.LITERT_MODEL,
    EngineKind.OPENVINO_INT8: bundle.LITERT_INT8_MODEL,
    EngineKind.SAVED_MODEL: SAVED_MODEL_FILE,
}
_LITERT: Final = {_MODELS[kind]: kind for kind in (EngineKind.LITERT, EngineKind.LITERT_INT8)}
_OPENVINO: Final = {_MODELS[kind]: kind for kind in (EngineKind.OPENVINO, EngineKind.OPENVINO_INT8)}

CPU_KINDS: Final = frozenset([*_LITERT.values(), *_OPENVINO.values()])
"""The engines for CPUs, of which `auto` may choose by their speed."""


@dataclasses.dataclass(frozen=True)
class EngineChoice:
    """An engine, and the reason for choosing it."""

    kind: EngineKind
    reason: str

    @property
    def library(self) -> str:
        """Name of the package that runs the model."""
        if self.kind is EngineKind.SAVED_MODEL:
            return "tensorflow"
        return "openvino" if self.kind in _OPENVINO.values() else "ai-edge-litert"

    @property
    def model(self) -> str:
        """The model's file in the bundle; for a SavedModel, its main file."""
        return _MODELS[self.kind]


@dataclasses.dataclass(frozen=True)
class Machine:
    """The hardware of this machine for running a model.

    Attributes:
        gpus: number of GPUs that TensorFlow can use.
        devices: number of GPUs that the operating system shows.
    """

    tensorflow: bool
    gpus: int
    devices: int


def this_machine() -> Machine:
    """Inspect this machine; imports TensorFlow, which takes seconds, only if there is a GPU."""
    tensorflow = extras.is_installed("tensorflow")
    devices = gpu_devices()
    return Machine(tensorflow, _seen_by_tensorflow() if tensorflow and devices else 0, devices)


def gpu_devices(folder: pathlib.Path = pathlib.Path("/dev"), environ: Mapping[str, str] = os.environ) -> int:
    """Return how many GPUs the operating system shows, without those hidden from CUDA."""
    if environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return 0
    return sum(1 for _ in folder.glob("nvidia[0-9]*"))


def _seen_by_tensorflow() -> int:
    with quiet_stderr(shown_on_error=False):
        import tensorflow as tf

        return len(tf.config.list_physical_devices("GPU"))


def choose(asked: str, card: ModelCard, *, machine: Machine | None = None) -> EngineChoice:
    """Return the requested engine, or the best one for this bundle and machine.

    Raises:
        UserError: when the requested engine, or every engine, cannot run this bundle here.
    """
    kind = EngineKind(asked)
    if kind is EngineKind.AUTO:
        return _decide(card, machine or this_machine())
    _refuse_missing(card, kind)
    if kind is EngineKind.SAVED_MODEL and not (machine or this_machine()).tensorflow:
        raise extras.missing("tensorflow", wanted=f"--engine {asked}", otherwise=_OTHERWISE)
    if kind in _OPENVINO.values():
        extras.require("openvino", wanted=f"--engine {asked}", otherwise=_OTHERWISE)
    return EngineChoice(kind, "chosen by --engine")


def has_openvino() -> bool:
    """Whether OpenVINO is installed; it is not imported."""
    return extras.is_installed("openvino")


def alternatives(choice: EngineChoice, card: ModelCard) -> list[EngineKind]:
    """Return the CPU engines that may be faster than the chosen one without loss of accuracy.

    OpenVINO runs the same model. The float model is faster on CPUs without 8-bit instructions. The 8-bit
    model is left out if the card's default is the float model, because it is less accurate then. If the card
    has a guarantee, only engines of the same model remain: the guarantee is about its confidences.
    """
    kinds = [_OPENVINO[choice.model]] if has_openvino() else []
    other = choice.model != bundle.LITERT_MODEL and _holds(card, EngineKind.LITERT)
    if other and card.guarantee is None:
        kinds.append(EngineKind.LITERT)
    return kinds


def _decide(card: ModelCard, machine: Machine) -> EngineChoice:
    if _holds(card, EngineKind.SAVED_MODEL) and machine.gpus:
        return EngineChoice(EngineKind.SAVED_MODEL, f"TensorFlow sees {counted(machine.gpus, 'GPU')}")
    # The card's default first; a bundle may have been made without it.
    for model in (card.litert_model, *bundle.LITERT_MODELS):
        if model in card.files:
            return EngineChoice(_LITERT[model], _why_no_gpu(card, machine))
    _refuse_missing(card, EngineKind.SAVED_MODEL)
    if not machine.tensorflow:
        raise UserError(
            "TensorFlow is not installed, and the bundle has no LiteRT model",
            value=sorted(card.files),
            hint=f"run {extras.install_line('tensorflow')}",
        )
    return EngineChoice(EngineKind.SAVED_MODEL, "the bundle holds no LiteRT model")


def _why_no_gpu(card: ModelCard, machine: Machine) -> str:
    if not machine.devices:
        return "there is no GPU"
    if not machine.tensorflow:
        return "there is a GPU, but TensorFlow is not installed"
    if not machine.gpus:
        return "there is a GPU, but TensorFlow does not see it"
    return "the bundle holds no SavedModel"


def _holds(card: ModelCard, kind: EngineKind) -> bool:
    return _MODELS[kind] in card.files


def _refuse_missing(card: ModelCard, kind: EngineKind) -> None:
    if not _holds(card, kind):
        raise UserError(
            f"--engine {kind} needs {_MODELS[kind]}, which the bundle lacks",
            value=sorted(card.files),
            hint="train the model again, or use another engine",
        )
