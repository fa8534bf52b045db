"""Trainings that begin while their images are decoded."""

import contextlib
import json

import cv2
import numpy as np
import pytest

from schemas.digit import NOT_A_DIGIT
from schemas.errors import UserError
from tests.trainer.data.sources.test_tfrecord_source import record, write_shard
from tests.trainer.loop.test_resume import assert_same, final, recipe_of
from trainer.data import stream as stream_module
from trainer.data.reading import ALONE, ReadOptions
from trainer.data.sources.tfrecord_source import RecordsSource
from trainer.job import train_job
from trainer.loop.training_loop import Trainer
from trainer.run.checkpoints import CheckpointOptions, Checkpoints
from trainer.run.run_location import LocalPlace
from trainer.train_options import TrainOptions

pytestmark = pytest.mark.slow
STEPS = 8


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr(stream_module, "WINDOW", 64)


@pytest.fixture
def shards(tmp_path, few_digits):
    train = few_digits.train
    (tmp_path / "packed").mkdir()
    for number, rows in enumerate(np.split(np.random.default_rng(0).permutation(400), 8)):
        pngs = [cv2.imencode(".png", train.images[row])[1].tobytes() for row in rows]
        records = [record(png, int(label)) for png, label in zip(pngs, train.labels[rows], strict=True)]
        write_shard(tmp_path / "packed" / f"{number}.tfrecord", records)
    return tmp_path / "packed" / "*.tfrecord"


def train(place, shards, strategy, *, cache=None, until=None) -> int:
    """Train from the newest checkpoint to the end, or to a step; return the first step."""
    source = RecordsSource(str(shards), ReadOptions(cache_dir=cache))
    checkpoints = Checkpoints(LocalPlace(place), keep=100)
    with source.stream(workers=ALONE, check=lambda digits: digits).opened() as stream:
        trainer = Trainer(
            recipe_of(),
            stream,
            strategy=strategy,
            seed=5,
            checkpointing=CheckpointOptions(checkpoints, until, {"digest": stream.identity}),
        )
        assert trainer.steps_per_epoch == STEPS
        if (found := checkpoints.load_newest()) is not None:
            trainer.restore(found)
        first = trainer.state.step
        with contextlib.closing(trainer.epochs()) as epochs:
            for _ in epochs:
                if until is not None and trainer.state.step >= until:
                    break
    if until is not None:
        for step in set(checkpoints.steps()) - {until}:
            (place / f"step-{step:010d}.npz").unlink()
    return first


@pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])
@pytest.mark.parametrize("step", [3, STEPS + 2])
def test_a_full_cache_and_a_resume_change_no_bit(shards, tmp_path, replicas, step, request):
    strategy = request.getfixturevalue(replicas)
    places = {name: tmp_path / name for name in ("empty", "full", "stopped")}
    for name in ("empty", "full"):
        train(places[name], shards, strategy, cache=tmp_path / "cache")
    assert train(places["stopped"], shards, strategy, until=step) == 0
    assert train(places["stopped"], shards, strategy) == step
    assert_same(final(places["empty"]), final(places["full"]))
    assert_same(final(places["empty"]), final(places["stopped"]))


def run(tmp_path, shards, **options):
    given = {"recipe": "dense-128", "data": f"tfrecord:{shards}", "epochs": 1, "batch": 40} | options
    return train_job.run(TrainOptions(output=tmp_path / "run", **given))


def test_the_job_tells_what_it_would_of_images_that_were_all_there(shards, tmp_path, few_digits, capfd):
    turned = [cv2.imencode(".png", np.rot90(image))[1].tobytes() for image in few_digits.test.images[:30]]
    write_shard(shards.parent / "9.tfrecord", [record(png, NOT_A_DIGIT) for png in turned])
    cards = []
    for name, stream in (("streamed", True), ("read", False)):
        result = run(tmp_path / name, shards, stream=stream)
        cards.append(json.loads((result.bundle / "model_card.json").read_text()))
        trained = sum(cards[-1]["class_counts"]) + cards[-1]["not_digits"]
        assert f"tfrecord:{shards}: {trained} train, " in capfd.readouterr().out
    assert cards[0]["not_digits"] > 0
    for name in ("data_digest", "class_counts", "not_digits", "pixel_histogram", "ink"):
        assert cards[0][name] == cards[1][name]


@pytest.mark.parametrize("label", [None, 3])
def test_an_error_in_decoding_ends_the_job_as_itself(shards, tmp_path, label):
    write_shard(shards.parent / "9.tfrecord", [record(b"no image", label)] * 50)
    expected = "a packed image has no label" if label is None else "50 of 450"
    with pytest.raises(UserError, match=expected):
        run(tmp_path, shards, stream=True)
    assert not (tmp_path / "run" / "bundle").exists()
