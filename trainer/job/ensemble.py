"""Trains an ensemble: networks with different seeds, one after the other, averaged in one bundle.

Each member has its own run folder, so that a killed job resumes in the member where it stopped. The
average is an ordinary bundle.
"""

import dataclasses
import hashlib
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from digitmill.engines.bundle_files import read_card
from schemas.digit import SIDE
from schemas.errors import UserError
from schemas.model.model_card import ModelCard
from trainer.bundle.initial_weights import load_network, read_model_card
from trainer.cluster.collectives import Collectives
from trainer.cluster.lost_peers import lost_peer_errors
from trainer.cluster.strategy import worker_index
from trainer.data.reading import Source
from trainer.data.splits import Digits
from trainer.job import finalization, training
from trainer.job.result import TrainResult
from trainer.loop.evaluation import Evaluator
from trainer.loop.training_state import TrainingState
from trainer.recipes.parts import overrides
from trainer.recipes.parts.recipe import Recipe
from trainer.report import record
from trainer.run import history, run_folder, run_location
from trainer.run.history import Epoch
from trainer.run.run_location import Places
from trainer.train_options import TrainOptions


@dataclasses.dataclass(frozen=True)
class Member:
    """One of the networks that are averaged.

    Attributes:
        bundle: its folder, local or in a bucket.
        card: its card.
        epochs: its history, if this job trained it.
    """

    bundle: str
    card: ModelCard
    epochs: tuple[Epoch, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of its card, which holds the digests of its files."""
        return hashlib.sha256(read_card(self.bundle)).hexdigest()

    def report_entry(self, run: str) -> record.Member:
        """Return its entry in a run's report; a bundle within the run folder is named relative to it."""
        measured = self.card.test_accuracy
        return record.Member(
            bundle=self.bundle.removeprefix(f"{run.rstrip('/')}/"),
            recipe=self.card.recipe,
            seed=self.card.seed,
            right=measured.right,
            images=measured.images,
            digest=self.digest,
            epochs=len(self.epochs),
        )


def average_networks(networks: Sequence[keras.Model]) -> keras.Model:
    """Return a network that predicts the mean of several networks' probabilities.

    Args:
        networks: from uint8[N, 28, 28] to float32[N, 10]; they become its layers and are renamed.
    """
    digits = keras.Input((SIDE, SIDE), dtype="uint8")
    for number, network in enumerate(networks, start=1):
        network.name = f"member_{number}"
    outputs = [network(digits) for network in networks]
    return keras.Model(digits, keras.layers.Average(dtype="float32")(outputs))


class Ensemble:
    """The average of trained members, with the interface of a finished `Trainer`.

    Attributes:
        steps_per_epoch: steps of a member's epoch.
        model: the average; every replica has a copy.
        evaluator: evaluates it.
        state: epochs of the members that this job trained, one member after the other; seconds of all.
        learning_rates: empty; the members have their own.
    """

    learning_rates: tuple[tuple[int, float], ...] = ()

    def __init__(
        self, recipe: Recipe, members: Sequence[Member], digits: Digits, *, strategy: tf.distribute.Strategy
    ) -> None:
        self.recipe = recipe
        self.replicas = strategy.num_replicas_in_sync
        self.steps_per_epoch = digits.train_images() // recipe.batch
        epochs = itertools.chain.from_iterable(member.epochs for member in members)
        self.state = TrainingState(
            history=[dataclasses.replace(epoch, epoch=n) for n, epoch in enumerate(epochs, start=1)],
            seconds=sum(member.card.train_seconds for member in members),
        )
        self._members = members
        with strategy.scope():
            self.model = self.copy_outside_strategy()
        self.evaluator = Evaluator(self.model, strategy)

    def copy_outside_strategy(self) -> keras.Model:
        """Build the network from the members' bundles."""
        return average_networks([load_network(member.bundle)[1] for member in self._members])


def train(options: TrainOptions, source: Source, where: Places) -> TrainResult:
    """Train the missing members, average all of them, and write the run folder.

    Raises:
        UserError: if a member is no bundle, or a finished one was trained with other options.
    """
    given = [Member(bundle, read_model_card(bundle)) for bundle in options.member]
    strategy = training.start_devices(options)
    with lost_peer_errors(strategy):
        once = _ReadOnce(source)
        trainer = _MemberTrainer(options, once, where, strategy=strategy)
        members = given + [trainer.get(seed) for seed in _seeds(options, given)]
        recipe = training.effective_recipe(options, strategy)
        digits = training.read_data(options, once, recipe, strategy=strategy)
        chief = worker_index(strategy) == 0
        if chief:
            _warn_about_other_data(given, digits)
            print(f"averaging {len(members)} members")
        averaged = Ensemble(recipe, members, digits, strategy=strategy)
        if chief:
            training.write_history(averaged.state.history, where)
        overridden: dict[str, str | int] = {
            "members": len(members),
            "member_digests": " ".join(member.digest for member in members),
        }
        entries = [member.report_entry(where.run.uri) for member in members]
        return finalization.finalize(
            options,
            averaged,
            digits,
            where=where,
            write=chief,
            collectives=Collectives(strategy),
            overridden=overridden,
            members=entries,
        )


def _seeds(options: TrainOptions, given: Sequence[Member]) -> list[int]:
    """Return the seeds of the members to train: from `--seed` up, skipping those of given members."""
    taken = {member.card.seed for member in given if member.card.recipe == options.recipe}
    free = (seed for seed in itertools.count(options.seed) if seed not in taken)
    return list(itertools.islice(free, (options.members or len(given)) - len(given)))


class _MemberTrainer:
    """Trains members, each in its own folder within the run folder."""

    def __init__(
        self, options: TrainOptions, source: Source, where: Places, *, strategy: tf.distribute.Strategy
    ) -> None:
        self._options = options
        self._source = source
        self._where = where
        self._strategy = strategy
        self._collectives = Collectives(strategy)
        self._chief = worker_index(strategy) == 0

    def get(self, seed: int) -> Member:
        """Return the member of a seed; train it unless an earlier process has."""
        output = self._where.run.at(f"{run_folder.MEMBERS}/seed-{seed}")
        options = dataclasses.replace(self._options, seed=seed, output=output, members=None, member=())
        where = run_location.of_run(output, {})
        bundle = where.run.at(run_folder.BUNDLE)
        # As the chief sees it: the bundle may appear while another worker looks.
        found = self._chief and options.resume and run_folder.is_finished(where)
        if self._collectives.broadcast(found):
            self._check(options, read_model_card(bundle))
        else:
            if self._chief:
                run_folder.claim(where, resume=options.resume)
                print(f"\nmember with seed {seed}", flush=True)
            training.train_with_strategy(self._strategy, options, source=self._source, where=where)
        return Member(bundle, read_model_card(bundle), tuple(history.read(where.run.fetch(history.FILE))))

    def _check(self, options: TrainOptions, card: ModelCard) -> None:
        """Raise UserError if a finished member was trained with other options."""
        recipe = training.effective_recipe(options, self._strategy)
        digits = training.read_data(options, self._source, recipe, strategy=self._strategy)
        expected = {
            "recipe": (options.recipe, card.recipe),
            "seed": (options.seed, card.seed),
            "overrides": (overrides.recorded(options, recipe), dict(card.overrides)),
            "data digest": (digits.digest, card.data_digest),
        }
        for name, (value, found) in expected.items():
            if value != found:
                raise UserError(
                    f"cannot resume: a member was trained with {name} {found!r}, now it is",
                    value=value,
                    hint="give the same options, or another --output",
                )


class _ReadOnce:
    """A source that is read once, for all members."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._digits: Digits | None = None

    def read(self, **arguments: Any) -> Digits:
        """Return the digits; all members call this with the same arguments."""
        if self._digits is None:
            self._digits = self._source.read(**arguments)
        return self._digits


def _warn_about_other_data(given: Sequence[Member], digits: Digits) -> None:
    for member in given:
        if member.card.data_digest != digits.digest:
            print(
                f"warning: {member.bundle} was trained on other data, perhaps on images held out here",
                file=sys.stderr,
            )
