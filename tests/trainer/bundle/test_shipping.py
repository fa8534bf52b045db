import dataclasses
import shutil
import types

import keras
import pytest

from digitmill.engines.bundle_loader import open_bundle
from schemas.errors import UserError
from schemas.model import bundle
from schemas.model.data_source import DataSource
from schemas.model.model_card import ModelCard
from schemas.model.trust import NotDigits, SourceTrust
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


def test_the_card_has_no_local_folders(bundle_path, tmp_path):
    source = shutil.copytree(bundle_path, tmp_path / "source")
    card = ModelCard.from_json((source / bundle.CARD).read_text())
    credit = "by me, https://example.org/a/b/c"
    changed = dataclasses.replace(
        card,
        command="digitmill train --data folder:/home/me/big/digits@2 --teacher /home/me/ensemble/bundle",
        data="idx:mnist@1 folder:/home/me/big/digits@2",
        data_sources=(DataSource("folder:/home/me/big/digits", 3, "0" * 64, credit=credit),),
        trust=dataclasses.replace(
            card.trust,
            sources={"test": {"folder:/home/me/big/digits": SourceTrust(3, 2, 1, 1, NotDigits(0, 0))}},
        ),
    )
    (source / bundle.CARD).write_text(changed.to_json())
    made = shipping.ship(source, tmp_path / "model")
    assert made.command == "digitmill train --data folder:big/digits@2 --teacher ensemble/bundle"
    assert made.data == "idx:mnist@1 folder:big/digits@2"
    assert (made.data_sources[0].source, made.data_sources[0].credit) == ("folder:big/digits", credit)
    assert list(made.trust.sources["test"]) == ["folder:big/digits"]
    assert "/home" not in (tmp_path / "model" / bundle.CARD).read_text()


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


def test_a_card_without_ink_gets_it_from_the_data_of_its_training(bundle_path, tmp_path, capsys):
    source = shutil.copytree(bundle_path, tmp_path / "source")
    card = ModelCard.from_json((source / bundle.CARD).read_text())
    (source / bundle.CARD).write_text(dataclasses.replace(card, ink=None).to_json())
    shipping.main([str(source), str(tmp_path / "without")])
    assert "add it by --data" in capsys.readouterr().err
    shipping.main([str(source), str(tmp_path / "model"), "--data", card.data])
    assert open_bundle(tmp_path / "model").card.ink == card.ink
    assert "add it by --data" not in capsys.readouterr().err


def test_data_that_a_bundle_was_not_trained_on_is_refused(bundle_path, tmp_path, monkeypatch, few_digits):
    source = types.SimpleNamespace(read=lambda **_: few_digits)
    monkeypatch.setattr(shipping, "open_sources", lambda *_: source)
    with pytest.raises(SystemExit, match="--data is not the data that the model was trained on"):
        shipping.main([str(bundle_path), str(tmp_path / "model"), "--data", "sample"])


def test_digits_that_are_drawn_otherwise_are_said_to_be(bundle_path, tmp_path, capsys):
    source = shutil.copytree(bundle_path, tmp_path / "source")
    card = ModelCard.from_json((source / bundle.CARD).read_text())
    (source / bundle.CARD).write_text(dataclasses.replace(card, data_digest="0" * 64).to_json())
    shipping.main([str(source), str(tmp_path / "model"), "--data", card.data])
    assert "as many digits of each class as the card's" in capsys.readouterr().err


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
