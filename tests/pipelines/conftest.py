"""Folders of images as users have them, and a checked bundle."""

import base64
import dataclasses
import hashlib
import pathlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from digitmill.default_model import SHIPPED_MODEL
from pipelines.listing.input_listing import list_images
from pipelines.listing.work_item import WorkItem, pack_items
from pipelines.statistics.item_statistics import CONFIDENCE_BINS, RunStatistics
from pipelines.statistics.kept_images import FailurePicture, KeptImage
from pipelines.statistics.tallies import Tally
from pipelines.statistics.thresholds import count_confidences
from schemas.failure import Failure, FailureCode
from schemas.manifest import Counts, Manifest, Status
from schemas.model import bundle as names
from schemas.model.model_card import ModelCard
from tests.digit_folders import write_digits
from trainer.data.sources import embedded_sample


@pytest.fixture(scope="session")
def rival_path(bundle_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A second bundle, of a linear model that is right less often."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("rival") / "bundle"
    folder.mkdir()
    train = embedded_sample.digits().train
    weights = np.linalg.lstsq(
        train.images.reshape(-1, 784) / 255.0, np.eye(10)[train.labels] * 8, rcond=None
    )[0]
    module = tf.Module()
    module.weights = tf.Variable(weights, dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28], tf.uint8, name=names.INPUT)])
    def serve(digits: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.cast(tf.reshape(digits, [-1, 784]), tf.float32) / 255.0
        return {names.OUTPUT: tf.nn.softmax(pixels @ module.weights)}

    module.serve = serve
    saved_model = str(folder / names.SAVED_MODEL)
    tf.saved_model.save(module, saved_model, signatures={names.SIGNATURE: serve})
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=[names.SIGNATURE])
    (folder / names.LITERT_MODEL).write_bytes(converter.convert())
    golden = train.images[:8]
    answers = {names.INPUT: golden, names.OUTPUT: serve(golden)[names.OUTPUT].numpy()}
    np.savez(folder / names.GOLDEN_BATCH, **answers)
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    card = ModelCard.from_json((bundle_path / names.CARD).read_text())
    card = dataclasses.replace(card, recipe="linear", files=files)
    (folder / names.CARD).write_text(card.to_json())
    return folder


BAD_FILES = {
    "empty.png": b"",
    "text.png": b"I am a text file that calls itself a picture.\n",
    "<script>alert(1)</script>.png": b"GIF, or so I say",
}


@pytest.fixture
def mixed_folder(
    tmp_path: pathlib.Path, digits: np.ndarray, labels: np.ndarray, png_of: Callable
) -> pathlib.Path:
    """60 digits, and among them one of each kind of bad file."""
    folder = write_digits(tmp_path / "mixed", digits[::8][:60], labels[::8][:60], png_of)
    for name, content in BAD_FILES.items():
        (folder / name.replace("/", "∕")).write_bytes(content)
    (folder / "truncated.png").write_bytes(png_of(digits[0])[:-30])
    (folder / "blank.png").write_bytes(png_of(np.zeros((28, 28), np.uint8)))
    return folder


@pytest.fixture
def items_of() -> Callable[..., list[WorkItem]]:
    """Pack a folder into work items."""
    return lambda folder, size=4096: list(pack_items(list_images([str(folder)]), "run", size=size))


_PNG = base64.b64encode(cv2.imencode(".png", np.zeros((28, 28), np.uint8))[1].tobytes()).decode()
_CONFUSION = tuple(
    tuple(5 if label == digit else int(digit == 9) for digit in range(10)) for label in range(10)
)


@pytest.fixture
def card() -> ModelCard:
    """That of the model that comes with digitmill."""
    return ModelCard.from_json((SHIPPED_MODEL / names.CARD).read_text())


@pytest.fixture
def statistics() -> RunStatistics:
    """A small run's, with labels, failures and names that a page must escape."""
    return RunStatistics(
        listed=62,
        scored=60,
        accepted=50,
        failures=(
            Failure("file:///in/b/<x>.png", 3, FailureCode.EMPTY, "0 bytes"),
            Failure("file:///in/c/y.png", 3, FailureCode.CORRUPT, 'a "damaged", PNG'),
        ),
        tallies=(
            Tally("file:///in/a", 1, 40, 36.0, accepted=40, labeled=40, right=39),
            Tally("file:///in/b", 1, 10, 9.0, accepted=10, labeled=10, right=10),
            Tally("file:///in/b", 2, 10, 5.0, accepted=0, labeled=9, right=1),
        ),
        confidences=(0,) * 9 + (10,) + (0,) * (CONFIDENCE_BINS - 11) + (50,),
        confusion=_CONFUSION,
        doubtful=(KeptImage(0.4, "file:///in/a/%3Cb%3E.png", 1, 7, 7, _PNG),),
        parts=(),
        accepted_labeled=50,
        accepted_right=49,
        thresholds=count_confidences(
            np.repeat(np.array([0.48, 0.99], np.float32), [10, 50]),
            known=np.arange(60) > 0,
            right=np.arange(60) > 9,
        ),
        gray_levels=(60 * 700, *(0,) * 18, 60 * 84),
        mistaken=(KeptImage(0.97, "file:///in/a/m.png", 1, 7, 7, _PNG),),
        examples=(
            KeptImage(0.9, "file:///in/a/e.png", 1, 7, 1, _PNG),
            KeptImage(0.5, "file:///in/b/f.png", 2, 7, -1, _PNG),
        ),
        failure_pictures=(FailurePicture("BLANK", "file:///in/c/white.png", _PNG),),
    )


@pytest.fixture
def manifest() -> Manifest:
    """The manifest that goes with `statistics`."""
    return Manifest(
        status=Status.COMPLETE,
        counts=Counts(62, 60, 2, 0),
        failures=dict.fromkeys(map(str, FailureCode), 0) | {"EMPTY": 1, "CORRUPT": 1},
        labeled=59,
        right=50,
        accepted=50,
        inputs=("in",),
        model={"path": "run/bundle", "digest": "d" * 64, "recipe": "cnn"},
        options={
            "labels": "folder",
            "accept_threshold": 0.9,
            "engine": "litert",
            "engine_reason": "there is no GPU",
        },
        versions={"digitmill": "0"},
        times={
            "started": "2026-01-01T00:00:00+00:00",
            "finished": "2026-01-01T00:00:01+00:00",
            "pipeline_seconds": 1.0,
            "images": 62,
        },
        parts=(),
    )
