"""Ensembles: whole jobs of several members."""

import csv
import dataclasses
import hashlib
import pathlib

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitmill.confidence.scaling import apply_temperature
from schemas.errors import UserError
from schemas.model import bundle
from schemas.model.model_card import ModelCard
from trainer.bundle import export
from trainer.data.splits import Digits
from trainer.job import ensemble, train_job, training
from trainer.job.result import TrainResult
from trainer.loop.actions.preemption import PreemptedError
from trainer.report.record import RunRecord
from trainer.run import run_folder, run_location
from trainer.train_options import TrainOptions


class CountingSource:
    """A source whose digits are there already, and which counts how often it was read."""

    def __init__(self, digits: Digits) -> None:
        self.digits, self.reads = digits, 0

    def read(self, **_: object) -> Digits:
        self.reads += 1
        return self.digits


def run(digits: Digits, output: pathlib.Path, **options) -> TrainResult:
    options = {"recipe": "dense-128", "epochs": 2, "batch": 40, "seed": 3, "replicas": 1} | options
    job_options = TrainOptions(data="few", output=output, **options)
    where = run_location.of_run(output, {})
    run_folder.claim(where, resume=job_options.resume)
    train = ensemble.train if job_options.is_ensemble else training.train
    return train(job_options, CountingSource(digits), where)


def card_of(folder: pathlib.Path) -> ModelCard:
    return ModelCard.from_json((folder / bundle.CARD).read_text())


def network_of(folder: pathlib.Path) -> keras.Model:
    return keras.models.load_model(folder / bundle.KERAS_MODEL, compile=False)


def digest_of(folder: pathlib.Path) -> str:
    return hashlib.sha256((folder / bundle.CARD).read_bytes()).hexdigest()


@pytest.fixture(scope="module", autouse=True)
def lean():
    """Bundles of a network and a card, and no reports; the last test has whole ones."""

    def write(model: keras.Model, card: ModelCard, *, target: pathlib.Path, **_: object) -> ModelCard:
        target.mkdir()
        model.save(target / bundle.KERAS_MODEL)
        digest = hashlib.sha256((target / bundle.KERAS_MODEL).read_bytes()).hexdigest()
        complete = dataclasses.replace(card, files={bundle.KERAS_MODEL: digest})
        (target / bundle.CARD).write_text(complete.to_json())
        return complete

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(export, "write_bundle", write)
        yield patched


@pytest.fixture(scope="module")
def two(few_digits, tmp_path_factory) -> TrainResult:
    """A finished run of two members, of seeds 3 and 4."""
    return run(few_digits, tmp_path_factory.mktemp("two") / "run", members=2)


def members_of(result: TrainResult) -> list[pathlib.Path]:
    return sorted((result.output / "members").iterdir())


@pytest.mark.slow
def test_each_member_has_a_run_folder_and_a_seed(two):
    assert [path.name for path in members_of(two)] == ["seed-3", "seed-4"]
    assert [card_of(path / "bundle").seed for path in members_of(two)] == [3, 4]
    for path in members_of(two):
        assert {"bundle", "checkpoints", "history.csv"} <= {file.name for file in path.iterdir()}


@pytest.mark.slow
def test_a_member_equals_a_single_training_with_its_seed(two, few_digits, tmp_path):
    alone = run(few_digits, tmp_path / "alone", seed=4)
    answers = [
        network_of(path)(few_digits.test.images) for path in (alone.bundle, members_of(two)[1] / "bundle")
    ]
    assert (answers[0].numpy() == answers[1].numpy()).all()


def test_the_bundle_predicts_the_mean_of_its_members(two, few_digits):
    images = few_digits.test.images
    members = [network_of(path / "bundle")(images, training=False).numpy() for path in members_of(two)]
    mean = network_of(two.bundle)(images, training=False).numpy()
    expected = apply_temperature(np.mean(members, axis=0), card_of(two.bundle).temperature)
    assert mean == pytest.approx(expected, abs=1e-5)
    assert int((mean.argmax(axis=1) == few_digits.test.labels).sum()) == two.card.test_accuracy.right


def test_the_card_describes_the_ensemble(two, few_digits):
    card, parts = card_of(two.bundle), [card_of(path / "bundle") for path in members_of(two)]
    assert card.parameters == 2 * 101_770
    assert (card.recipe, card.seed, card.epochs, card.batch) == ("dense-128", 3, 2, 40)
    assert card.train_seconds == pytest.approx(sum(part.train_seconds for part in parts), abs=0.01)
    assert card.data_digest == few_digits.digest
    digests = " ".join(digest_of(path / "bundle") for path in members_of(two))
    assert card.overrides == {"epochs": 2, "batch": 40, "members": 2, "member_digests": digests}


def test_the_history_is_that_of_all_members(two):
    with (two.output / "history.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert float(rows[2]["loss"]) > float(rows[1]["loss"])
    assert [epoch.epoch for epoch in two.history] == [1, 2, 3, 4]


@pytest.mark.slow
def test_finished_members_are_not_trained_again(two, few_digits, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "train_with_strategy", None)
    given_ones = tuple(str(path / "bundle") for path in members_of(two))
    result = run(few_digits, tmp_path / "run", member=given_ones)
    assert result.history == ()
    assert not (result.output / "members").exists()
    assert result.card.test_loss == two.card.test_loss
    assert card_of(result.bundle).overrides["members"] == 2
    assert card_of(result.bundle).images_per_second is None


@pytest.mark.slow
def test_a_trained_member_has_another_seed_than_a_given_twin(two, few_digits, tmp_path):
    twin = str(members_of(two)[1] / "bundle")
    result = run(few_digits, tmp_path / "run", member=(twin,), members=3, epochs=1)
    assert [path.name for path in members_of(result)] == ["seed-3", "seed-5"]
    assert card_of(result.bundle).overrides["member_digests"].split()[0] == digest_of(pathlib.Path(twin))


def test_a_member_trained_on_other_data_causes_a_warning(two, few_digits, tmp_path, capsys):
    other = dataclasses.replace(few_digits, test=few_digits.validation)
    given_ones = tuple(str(path / "bundle") for path in members_of(two))
    run(other, tmp_path / "run", member=given_ones)
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(warned) == 2
    assert all("was trained on other data" in line for line in warned)


def test_a_member_that_is_no_bundle_is_refused_at_once(tmp_path):
    (tmp_path / bundle.CARD).write_text("{}")
    options = TrainOptions(recipe="dense-128", data="few", output=tmp_path / "run", member=(str(tmp_path),))
    with pytest.raises(UserError, match="the model bundle is damaged"):
        ensemble.train(options, None, run_location.of_run(tmp_path / "run", {}))


def stop_in(member: int, monkeypatch) -> None:
    """Has the training of one member end as by SIGTERM, after its first epoch."""
    from trainer.loop.training_loop import Trainer

    epochs, begun = Trainer.epochs, []

    def interrupted(self):
        begun.append(self)
        for epoch in epochs(self):
            yield epoch
            if len(begun) == member:
                raise PreemptedError("told to end")

    monkeypatch.setattr(Trainer, "epochs", interrupted)


@pytest.mark.slow
def test_a_stopped_job_resumes_in_the_member_where_it_stopped(two, few_digits, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        stop_in(2, patched)
        with pytest.raises(PreemptedError):
            run(few_digits, tmp_path / "run", members=2)
    first, second = sorted((tmp_path / "run" / "members").iterdir())
    before = digest_of(first / "bundle")
    assert not (second / "bundle").exists()
    assert list((second / "checkpoints").glob("step-*.npz"))
    result = run(few_digits, tmp_path / "run", members=2, resume=True)
    assert digest_of(first / "bundle") == before
    assert result.card.test_loss == two.card.test_loss
    assert [epoch.loss for epoch in result.history] == [epoch.loss for epoch in two.history]


@pytest.mark.slow
def test_without_resume_nothing_is_overwritten(few_digits, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        stop_in(2, patched)
        with pytest.raises(PreemptedError):
            run(few_digits, tmp_path / "run", members=2)
    with pytest.raises(UserError, match="--output holds a finished run"):
        run(few_digits, tmp_path / "run", members=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "named"),
    [({"epochs": 1}, "overrides .*'epochs': 2"), ({"recipe": "dense-256-128"}, "recipe 'dense-128'")],
)
def test_members_of_another_job_are_refused(changed, named, few_digits, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        stop_in(2, patched)
        with pytest.raises(PreemptedError):
            run(few_digits, tmp_path / "run", members=2)
    with pytest.raises(UserError, match=f"cannot resume: a member was trained with {named}"):
        run(few_digits, tmp_path / "run", members=2, resume=True, **changed)


@pytest.mark.slow
def test_the_data_is_read_once(few_digits, tmp_path):
    source = CountingSource(few_digits)
    where = run_location.of_run(tmp_path / "run", {})
    run_folder.claim(where)
    options = TrainOptions(
        recipe="dense-128", data="few", output=tmp_path / "run", members=2, epochs=1, batch=40, replicas=1
    )
    ensemble.train(options, source, where)
    assert source.reads == 1


@pytest.mark.slow
def test_two_replicas_make_the_same_ensemble(two, few_digits, tmp_path):
    result = run(few_digits, tmp_path / "run", members=2, replicas=2, allow_cpu=True)
    assert result.card.test_loss == pytest.approx(two.card.test_loss, rel=1e-3)


def constant(answers: np.ndarray) -> keras.Model:
    """A network that always gives one answer."""
    digits = keras.Input((28, 28), dtype="uint8")
    layer = keras.layers.Dense(10)
    network = keras.Model(digits, layer(keras.layers.Rescaling(0.0)(keras.layers.Flatten()(digits))))
    layer.set_weights([np.zeros((784, 10), np.float32), answers.astype(np.float32)])
    return network


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=4))
def test_the_average_is_the_mean_whatever_the_number_of_members(digits):
    rows = np.eye(10)[digits]
    model = ensemble.average_networks([constant(row) for row in rows])
    answers = model(np.zeros((2, 28, 28), np.uint8)).numpy()
    assert answers == pytest.approx(np.tile(rows.mean(axis=0), (2, 1)), abs=1e-6)


@pytest.mark.parametrize(
    ("members", "member", "asked"), [(None, (), False), (1, (), False), (2, (), True), (None, ("a",), True)]
)
def test_options_that_make_an_ensemble(members, member, asked):
    assert (
        TrainOptions(recipe="cnn", data="x", output="y", members=members, member=member).is_ensemble == asked
    )


def test_fewer_members_than_given_are_refused():
    with pytest.raises(UserError, match="--members is less than the 2 bundles of --member"):
        TrainOptions(recipe="cnn", data="x", output="y", members=1, member=("a", "b"))


@pytest.mark.slow
def test_the_command_trains_an_ensemble(tmp_path, capsys, lean):
    lean.undo()
    options = TrainOptions(recipe="dense-128", data="sample", output=tmp_path / "run", epochs=1, members=2)
    result = train_job.run(options)
    printed = capsys.readouterr().out
    assert "member with seed 0" in printed
    assert "member with seed 1" in printed
    assert "averaging 2 members" in printed
    assert str(result.bundle) in printed
    page = (result.output / "report.html").read_text()
    for seed in (0, 1):
        assert f'href="members/seed-{seed}/report.html"' in page
        assert (result.output / "members" / f"seed-{seed}" / "report.html").exists()
    record = RunRecord.from_json((result.output / "report" / "data.json").read_text())
    assert [(member.seed, member.epochs, member.images) for member in record.members] == [
        (0, 1, 500),
        (1, 1, 500),
    ]
    assert record.learning_rates == ()
    files = {path.name for path in result.bundle.iterdir()}
    assert files >= {
        bundle.CARD,
        bundle.KERAS_MODEL,
        bundle.LITERT_MODEL,
        bundle.SAVED_MODEL,
        bundle.GOLDEN_BATCH,
    }
