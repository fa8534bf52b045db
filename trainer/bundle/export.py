"""Writes the model bundle: the formats, a golden batch that holds them together, and the card last."""

import dataclasses
import hashlib
import pathlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Final

import cv2
import keras
import numpy as np
import tensorflow as tf

from digitmill.engines.engine import Engine, LiteRtEngine
from digitmill.engines.saved_model import SavedModelEngine
from digitmill.imaging.canonical import is_native
from schemas.model import bundle
from schemas.model.accuracy import Accuracy
from schemas.model.exported import ExportedFormat
from schemas.model.model_card import ModelCard
from trainer.bundle import formats
from trainer.bundle.keras_engine import KerasEngine
from trainer.data.splits import Split
from trainer.metrics import assessment
from trainer.quiet import quiet_stderr

_GOLDEN_DIGITS: Final = 64
_TIMED: Final = 1_024
"""Images that a format is timed with."""


class ExportError(RuntimeError):
    """A written format does not answer as the model does that it was written from."""


def write_bundle(
    model: keras.Model,
    card: ModelCard,
    *,
    evidence: assessment.Evidence,
    target: pathlib.Path,
    beforehand: Callable[[ModelCard], None] | None = None,
) -> ModelCard:
    """Writes a bundle; the folder appears only when it is complete and was checked.

    Args:
        model: the trained network with its temperature baked in, outside any strategy.
        card: the card, but for what is measured of the formats.
        evidence: what they are measured on.
        target: the bundle's folder, which must not exist.
        beforehand: what is done with the complete card before the folder appears.

    Returns:
        The card with `files`, `exports`, `litert_model`, `trust` and `accept_threshold`.

    Raises:
        ExportError: when a format's answers differ from the model's.
    """
    part = pathlib.Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        formats.write(model, part, representative=evidence.train)
        complete = _measured(model, part, card=card, evidence=evidence)
        (part / bundle.CARD).write_text(complete.to_json(), encoding="utf-8")
        if beforehand is not None:
            beforehand(complete)
        # mkdtemp makes it private, a bundle is for whoever scores.
        part.chmod(0o755)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return complete


def _measured(
    model: keras.Model, folder: pathlib.Path, *, card: ModelCard, evidence: assessment.Evidence
) -> ModelCard:
    """Checks and measures the formats, writes the golden batch, and returns the card with all of it."""
    expected = KerasEngine(model).probabilities(evidence.measured.images)
    engines = {name: load(folder / name) for name, load in LOADERS.items()}
    exports = [
        _measure(name, engine, folder=folder, split=evidence.measured, expected=expected)
        for name, engine in engines.items()
    ]
    litert_model = default_litert_model(exports)
    threshold, worth = assessment.assess(engines[litert_model].probabilities, evidence)
    golden = _write_golden_batch(engines, evidence.measured.images, folder=folder)
    _check_encoded(folder / bundle.SAVED_MODEL, golden)
    return dataclasses.replace(
        card,
        accept_threshold=threshold,
        trust=worth,
        exports=tuple(exports),
        litert_model=litert_model,
        files=digests(folder),
    )


def default_litert_model(exports: list[ExportedFormat]) -> str:
    """Returns the LiteRT model that scores on CPUs: eight bits where they lose next to nothing."""
    right = {row.name: row.accuracy.value for row in exports}
    lost = right[bundle.KERAS_MODEL] - right[bundle.LITERT_INT8_MODEL]
    # One image of 2,000 is within the bound, whatever binary fractions make of it.
    return bundle.LITERT_INT8_MODEL if lost <= bundle.INT8_MAX_LOSS + 1e-9 else bundle.LITERT_MODEL


def _measure(
    name: str, engine: Engine, *, folder: pathlib.Path, split: Split, expected: np.ndarray
) -> ExportedFormat:
    answers = engine.probabilities(split.images)
    difference = float(np.abs(answers - expected).max())
    allowed = 1.0 if name == bundle.LITERT_INT8_MODEL else bundle.GOLDEN_TOLERANCE
    # Written so that a NaN is refused too.
    if not difference <= allowed:
        raise ExportError(
            f"{name} answers as the model does to within {allowed}; it differs by {difference:.3g}"
        )
    return ExportedFormat(
        name=name,
        bytes=size_of(folder / name),
        accuracy=Accuracy(int((answers.argmax(axis=1) == split.labels).sum()), len(split)),
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
    """Returns the bytes of a file, or of all below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _write_golden_batch(
    engines: Mapping[str, Engine], digits: np.ndarray, *, folder: pathlib.Path
) -> dict[str, np.ndarray]:
    chosen = digits[np.linspace(0, len(digits) - 1, min(_GOLDEN_DIGITS, len(digits))).astype(int)]
    golden = {
        bundle.INPUT: chosen,
        bundle.OUTPUT: engines[bundle.KERAS_MODEL].probabilities(chosen),
        bundle.OUTPUT_INT8: engines[bundle.LITERT_INT8_MODEL].probabilities(chosen),
    }
    np.savez(folder / bundle.GOLDEN_BATCH, allow_pickle=False, **golden)
    return golden


def _check_encoded(saved_model: pathlib.Path, golden: Mapping[str, np.ndarray]) -> None:
    """Sees that the signature on files answers canonical PNGs as the other one answers their digits."""
    native = np.array([is_native(digit) for digit in golden[bundle.INPUT]])
    if not native.any():
        return
    files = [cv2.imencode(".png", digit)[1].tobytes() for digit in golden[bundle.INPUT][native]]
    with quiet_stderr():
        signature = tf.saved_model.load(str(saved_model)).signatures[bundle.ENCODED_SIGNATURE]
        answers = signature(**{bundle.ENCODED_INPUT: tf.constant(files)})[bundle.OUTPUT].numpy()
    difference = float(np.abs(answers - golden[bundle.OUTPUT][native]).max())
    if not difference <= bundle.GOLDEN_TOLERANCE:
        raise ExportError(
            f"{bundle.ENCODED_SIGNATURE} answers as the model does to within {bundle.GOLDEN_TOLERANCE}; "
            f"it differs by {difference:.3g}"
        )


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
"""By the engines that score, so that what is compared here is what will answer."""


def digests(folder: pathlib.Path) -> dict[str, str]:
    """Returns the SHA-256 of every file below a folder, by its path within it; the card is not there yet."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
