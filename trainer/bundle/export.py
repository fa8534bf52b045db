"""Writes a model bundle: its formats, checked against each other, the golden batch, and the card last."""

import dataclasses
import hashlib
import pathlib
import secrets
import shutil
import stat
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Final

import cv2
import keras
import numpy as np
import tensorflow as tf

from digitmill.engines.engine import Engine, LiteRtEngine
from digitmill.engines.saved_model import SavedModelEngine
from digitmill.imaging.native import is_native
from digitmill.native_log import quiet_stderr
from schemas.errors import ExitCode, JobFailedError
from schemas.model import bundle
from schemas.model.model_card import ExportedFormat, ModelCard
from trainer.bundle import formats
from trainer.bundle.keras_engine import KerasEngine
from trainer.data.splits import Split, evenly_spaced
from trainer.loop.precision import exact_float32
from trainer.metrics import assessment
from trainer.metrics.measures import Evaluation

_GOLDEN_DIGITS: Final = 64
_TIMED: Final = 1_024
"""Images used to time a format."""


class ExportError(JobFailedError):
    """An exported format predicts differently from the model; the training itself is saved."""

    code = ExitCode.USAGE  # the same network exported again by the same machine fails again

    def __init__(self, name: str, *, difference: float, allowed: float) -> None:
        super().__init__(
            "the network is trained and its checkpoint is kept, but it could not be exported: "
            f"{name} differs from the model by {difference:.3g}; at most {allowed} is allowed. "
            "With --resume, the export alone is repeated"
        )


def write_bundle(
    model: keras.Model,
    card: ModelCard,
    *,
    evidence: assessment.Evidence,
    target: pathlib.Path,
    before_publishing: Callable[[ModelCard], None] | None = None,
) -> ModelCard:
    """Write a bundle; the folder appears when it is complete and checked.

    Args:
        model: the trained network with its temperature baked in, outside any strategy.
        card: the card without what is measured on the formats.
        evidence: the data they are measured on.
        target: the bundle's folder, which must not exist.
        before_publishing: called with the complete card before the folder appears.

    Returns:
        The card with `files`, `exports`, `litert_model`, `trust` and `accept_threshold`.

    Raises:
        ExportError: if a format predicts differently from the model.
    """
    # By mkdir, whose folders have the mode that the umask allows: mkdtemp's are private.
    part = target.with_name(f".{target.name}-{secrets.token_hex(8)}")
    part.mkdir()
    try:
        formats.write(model, part, representative=evidence.train)
        for folder in part.rglob("*/"):
            folder.chmod(stat.S_IMODE(part.stat().st_mode))  # TensorFlow makes them 755
        with exact_float32():  # LiteRT computes so, and so does every other engine that scores
            complete = _complete_card(model, part, card=card, evidence=evidence)
        (part / bundle.CARD).write_text(complete.to_json(), encoding="utf-8")
        if before_publishing is not None:
            before_publishing(complete)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return complete


def _complete_card(
    model: keras.Model, folder: pathlib.Path, *, card: ModelCard, evidence: assessment.Evidence
) -> ModelCard:
    """Check and measure the formats, write the golden batch, and return the completed card."""
    expected = KerasEngine(model).probabilities(evidence.measured.images)
    engines = {name: load(folder / name) for name, load in LOADERS.items()}
    exports = [
        _measure(name, engine, folder=folder, split=evidence.measured, expected=expected)
        for name, engine in engines.items()
    ]
    litert_model = default_litert_model(exports)
    threshold, trust = assessment.assess(engines[litert_model].probabilities, evidence)
    golden = _write_golden_batch(engines, evidence.measured.images, folder=folder)
    _check_encoded(folder / bundle.SAVED_MODEL, golden)
    return dataclasses.replace(
        card,
        accept_threshold=threshold,
        trust=trust,
        exports=tuple(exports),
        litert_model=litert_model,
        files=digests(folder),
    )


def default_litert_model(exports: list[ExportedFormat]) -> str:
    """Return the LiteRT model to score with on CPUs: int8 unless it loses accuracy."""
    right = {row.name: row.accuracy.value for row in exports}
    lost = right[bundle.KERAS_MODEL] - right[bundle.LITERT_INT8_MODEL]
    # One image of 2,000 is within the bound, whatever the binary rounding.
    return bundle.LITERT_INT8_MODEL if lost <= bundle.INT8_MAX_LOSS + 1e-9 else bundle.LITERT_MODEL


def _measure(
    name: str, engine: Engine, *, folder: pathlib.Path, split: Split, expected: np.ndarray
) -> ExportedFormat:
    probabilities = engine.probabilities(split.images)
    difference = float(np.abs(probabilities - expected).max())
    allowed = 1.0 if name == bundle.LITERT_INT8_MODEL else bundle.GOLDEN_TOLERANCE
    # In this form, NaN fails too.
    if not difference <= allowed:
        raise ExportError(name, difference=difference, allowed=allowed)
    return ExportedFormat(
        name=name,
        bytes=size_of(folder / name),
        accuracy=Evaluation.of(split.labels, probabilities).accuracy,
        images_per_second=round(_images_per_second(engine, split.images)),
        difference=difference,
    )


def _images_per_second(engine: Engine, images: np.ndarray) -> float:
    timed = images[np.arange(_TIMED) % len(images)]
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        engine.probabilities(timed)
        seconds.append(time.perf_counter() - started)
    return len(timed) / statistics.median(seconds)


def size_of(path: pathlib.Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _write_golden_batch(
    engines: Mapping[str, Engine], digits: np.ndarray, *, folder: pathlib.Path
) -> dict[str, np.ndarray]:
    chosen = digits[evenly_spaced(len(digits), _GOLDEN_DIGITS)]
    golden = {
        bundle.INPUT: chosen,
        bundle.OUTPUT: engines[bundle.KERAS_MODEL].probabilities(chosen),
        bundle.OUTPUT_INT8: engines[bundle.LITERT_INT8_MODEL].probabilities(chosen),
    }
    np.savez(folder / bundle.GOLDEN_BATCH, allow_pickle=False, **golden)
    return golden


def _check_encoded(saved_model: pathlib.Path, golden: Mapping[str, np.ndarray]) -> None:
    """Check that the signature for image files predicts PNGs of canonical digits like the digits."""
    native = np.array([is_native(digit) for digit in golden[bundle.INPUT]])
    if not native.any():
        return
    files = [cv2.imencode(".png", digit)[1].tobytes() for digit in golden[bundle.INPUT][native]]
    with quiet_stderr():
        signature = tf.saved_model.load(str(saved_model)).signatures[bundle.ENCODED_SIGNATURE]
        probabilities = signature(**{bundle.ENCODED_INPUT: tf.constant(files)})[bundle.OUTPUT].numpy()
    difference = float(np.abs(probabilities - golden[bundle.OUTPUT][native]).max())
    if not difference <= bundle.GOLDEN_TOLERANCE:
        raise ExportError(bundle.ENCODED_SIGNATURE, difference=difference, allowed=bundle.GOLDEN_TOLERANCE)


def _load_saved_model(path: pathlib.Path) -> Engine:
    return SavedModelEngine(
        {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    )


def _load_litert(path: pathlib.Path) -> Engine:
    return LiteRtEngine(path.read_bytes())


LOADERS: Final[dict[str, Callable[[pathlib.Path], Engine]]] = {
    bundle.KERAS_MODEL: KerasEngine.load,
    bundle.SAVED_MODEL: _load_saved_model,
    bundle.LITERT_MODEL: _load_litert,
    bundle.LITERT_INT8_MODEL: _load_litert,
}
"""Loads each format with the engine that scoring uses."""


def digests(folder: pathlib.Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder without its card, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
