"""Writes the model bundle: the formats, a golden batch that holds them together, and the card last."""

import dataclasses
import hashlib
import pathlib
import shutil
import tempfile

import keras
import numpy as np
import tensorflow as tf

from schemas import bundle
from schemas.digit import SIDE
from schemas.model_card import ModelCard
from trainer.quiet import quiet_stderr

_GOLDEN_DIGITS = 64


class ExportError(RuntimeError):
    """A written format does not answer as the model does that it was written from."""


def write_bundle(model: keras.Model, card: ModelCard, *, digits: np.ndarray, target: pathlib.Path) -> None:
    """Writes a bundle; the folder appears only when it is complete and was checked.

    Args:
        model: the trained network, outside any strategy.
        card: the card; its `files` are filled in here.
        digits: uint8[N, 28, 28] canonical digits, some of which become the golden batch.
        target: the bundle's folder, which must not exist.

    Raises:
        ExportError: when a format's answers to the golden batch differ from the model's.
    """
    part = pathlib.Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _write_formats(model, part)
        _write_golden_batch(model, digits, part)
        check_formats(part)
        complete = dataclasses.replace(card, files=_digests(part))
        (part / bundle.CARD).write_text(complete.to_json(), encoding="utf-8")
        # mkdtemp makes it private, a bundle is for whoever scores.
        part.chmod(0o755)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_formats(model: keras.Model, folder: pathlib.Path) -> None:
    model.save(folder / bundle.KERAS_MODEL)
    saved_model = str(folder / bundle.SAVED_MODEL)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        name=bundle.SIGNATURE,
        # Without training=False augmentation and dropout layers would stay active; the dictionary
        # names the output.
        fn=lambda digits: {bundle.OUTPUT: model(digits, training=False)},
        input_signature=[tf.TensorSpec([None, SIDE, SIDE], tf.uint8, name=bundle.INPUT)],
    )
    with quiet_stderr():
        archive.write_out(saved_model, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=[bundle.SIGNATURE])
        (folder / bundle.LITERT_MODEL).write_bytes(converter.convert())


def _write_golden_batch(model: keras.Model, digits: np.ndarray, folder: pathlib.Path) -> None:
    chosen = digits[np.linspace(0, len(digits) - 1, min(_GOLDEN_DIGITS, len(digits))).astype(int)]
    answers = {bundle.INPUT: chosen, bundle.OUTPUT: model(chosen, training=False).numpy()}
    np.savez(folder / bundle.GOLDEN_BATCH, allow_pickle=False, **answers)


def check_formats(folder: pathlib.Path) -> None:
    """Scores the golden batch with each format.

    Raises:
        ExportError: when a probability differs by more than `bundle.GOLDEN_TOLERANCE`.
    """
    with np.load(folder / bundle.GOLDEN_BATCH, allow_pickle=False) as golden:
        digits, expected = golden[bundle.INPUT], golden[bundle.OUTPUT]
    answers = {
        bundle.KERAS_MODEL: _keras_answers,
        bundle.SAVED_MODEL: _saved_model_answers,
        bundle.LITERT_MODEL: _litert_answers,
    }
    for name, answer in answers.items():
        difference = float(np.abs(answer(folder / name, digits) - expected).max())
        # Written so that a NaN is refused too.
        if not difference <= bundle.GOLDEN_TOLERANCE:
            raise ExportError(
                f"{name} answers as the model does to within {bundle.GOLDEN_TOLERANCE}; "
                f"it differs by {difference:.3g}"
            )


def _keras_answers(path: pathlib.Path, digits: np.ndarray) -> np.ndarray:
    return keras.models.load_model(path)(digits, training=False).numpy()


def _saved_model_answers(path: pathlib.Path, digits: np.ndarray) -> np.ndarray:
    signature = tf.saved_model.load(str(path)).signatures[bundle.SIGNATURE]
    return signature(**{bundle.INPUT: tf.constant(digits)})[bundle.OUTPUT].numpy()


def _litert_answers(path: pathlib.Path, digits: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():
        runner = Interpreter(model_path=str(path), num_threads=1).get_signature_runner(bundle.SIGNATURE)
        return runner(**{bundle.INPUT: digits})[bundle.OUTPUT]


def _digests(folder: pathlib.Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
