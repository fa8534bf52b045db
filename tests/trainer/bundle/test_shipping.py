import dataclasses
import shutil

import keras
import pytest

from digitmill.engines.bundle_loader import open_bundle
from schemas.errors import UserError
from schemas.model import bundle
from schemas.model.model_card import ModelCard
from trainer.bundle import shipping
from trainer.bundle.export import digests, size_of
from trainer.bundle.initial_weights import load_initial_weights
from trainer.recipes import load


@pytest.fixture
def shipped(bundle_path, tmp_path):
    target = tmp_path / "model"
    shipping.ship(bundle_path, target)
    return target


def test_the_shipped_bundle_predicts_the_same(shipped, bundle_path, digits):
    small, whole = open_bundle(shipped, "litert"), open_bundle(bundle_path, "litert")
    assert (small.load().probabilities(digits) == whole.load().probabilities(digits)).all()
    assert size_of(shipped) < shipping.MAX_BYTES


def test_the_optimizer_is_dropped_and_the_weights_are_kept(shipped, bundle_path):
    small = keras.models.load_model(shipped / bundle.KERAS_MODEL)
    assert not small.compiled
    assert size_of(shipped / bundle.KERAS_MODEL) < size_of(bundle_path / bundle.KERAS_MODEL) / 2
    load_initial_weights(str(shipped), load("dense-128").model())


def test_the_card_keeps_the_measurements_of_the_remaining_formats(shipped, bundle_path):
    card, whole = (ModelCard.from_json((path / bundle.CARD).read_text()) for path in (shipped, bundle_path))
    (shipped / bundle.CARD).unlink()
    assert card.files == digests(shipped)
    assert card.trust == whole.trust
    measured = {row.name: row for row in whole.exports}
    for row in card.exports:
        assert row.bytes == size_of(shipped / row.name)
        assert (row.accuracy, row.images_per_second) == (
            measured[row.name].accuracy,
            measured[row.name].images_per_second,
        )


def test_the_command_has_no_local_folders(bundle_path, tmp_path):
    source = shutil.copytree(bundle_path, tmp_path / "source")
    card = ModelCard.from_json((source / bundle.CARD).read_text())
    command = "digitmill train --data idx:mnist --teacher /home/me/ensemble/bundle --output run"
    (source / bundle.CARD).write_text(dataclasses.replace(card, command=command).to_json())
    made = shipping.ship(source, tmp_path / "model")
    assert made.command == "digitmill train --data idx:mnist --teacher ensemble/bundle --output run"


def test_the_saved_model_is_dropped_if_the_bundle_is_too_large(bundle_path, tmp_path, monkeypatch):
    target = tmp_path / "model"
    shipping.ship(bundle_path, target)
    saved_model = size_of(target / bundle.SAVED_MODEL)
    monkeypatch.setattr(shipping, "MAX_BYTES", size_of(target) - saved_model // 2)
    card = shipping.ship(bundle_path, target)
    assert not (target / bundle.SAVED_MODEL).exists()
    assert bundle.SAVED_MODEL not in {row.name for row in card.exports}
    open_bundle(target)
    with pytest.raises(UserError, match="--engine saved_model needs saved_model"):
        open_bundle(target, "saved_model")


def test_a_bundle_that_is_too_large_or_damaged_replaces_nothing(shipped, bundle_path, tmp_path, monkeypatch):
    before = digests(shipped)
    damaged = shutil.copytree(bundle_path, tmp_path / "damaged")
    (damaged / bundle.LITERT_MODEL).write_bytes(b"another")
    with pytest.raises(UserError, match="is not the file that the card names"):
        shipping.ship(damaged, shipped)
    monkeypatch.setattr(shipping, "MAX_BYTES", 1_000)
    with pytest.raises(UserError, match="larger than 1,000 bytes"):
        shipping.ship(bundle_path, shipped)
    assert digests(shipped) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "model"]
