"""Ensembles: members that differ by their seeds, one trained after the other, averaged in one network.

Each member has a run folder of its own, so that a job that was killed goes on in the member where it
stopped. The average is an ordinary bundle: whoever scores with it need not know what it is.
"""

import dataclasses
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from schemas.digit import SIDE
from schemas.errors import UserError
from schemas.model.bundle import CARD
from schemas.model.model_card import ModelCard
from trainer.bundle.initial_weights import load_network
from trainer.cluster.collectives import Agreement
from trainer.cluster.strategy import worker_index
from trainer.data.source import Source
from trainer.data.splits import Digits, Split
from trainer.files.files import read_card
from trainer.job import concluding, training
from trainer.job.result import TrainResult
from trainer.loop.evaluation import Evaluation, Evaluator
from trainer.recipes.parts import overrides, teachers
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
        bundle: its folder, local or in `gs://`.
        card: its card.
        epochs: its history, where this job trained it.
    """

    bundle: str
    card: ModelCard
    epochs: tuple[Epoch, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of its card, which holds the digests of its files."""
        return teachers.find(self.bundle).digest

    def recorded(self, run: str) -> record.Member:
        """Returns what the report of a run says of it; the run's folder is left out of its name."""
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


def average(networks: Sequence[keras.Model]) -> keras.Model:
    """Returns one network that answers the mean of what several do.

    Args:
        networks: uint8[N, 28, 28] in, float32[N, 10] probabilities out; they become parts of the
            network and are renamed.
    """
    digits = keras.Input((SIDE, SIDE), dtype="uint8")
    for number, network in enumerate(networks, start=1):
        network.name = f"member_{number}"
    answers = [network(digits) for network in networks]
    return keras.Model(digits, keras.layers.Average(dtype="float32")(answers))


class Ensemble:
    """The average of trained members, to be measured and written as a training is.

    Args:
        recipe: the members'.
        members: at least two.
        digits: what they were trained on.
        strategy: the replicas that answer.

    Attributes:
        recipe: as given.
        replicas: number of replicas.
        steps: of a member's epoch.
        model: the average, of which each replica has a copy.
        history: the epochs of the members that this job trained, one member after the other.
        seconds: time that all members' training took.
        learning_rates: none; members have their own.
    """

    learning_rates: tuple[tuple[int, float], ...] = ()

    def __init__(
        self, recipe: Recipe, members: Sequence[Member], digits: Digits, *, strategy: tf.distribute.Strategy
    ) -> None:
        self.recipe = recipe
        self.replicas = strategy.num_replicas_in_sync
        self.steps = sum(digits.train_counts()) // recipe.batch
        epochs = itertools.chain.from_iterable(member.epochs for member in members)
        self.history = [dataclasses.replace(epoch, epoch=n) for n, epoch in enumerate(epochs, start=1)]
        self.seconds = sum(member.card.train_seconds for member in members)
        self._members = members
        with strategy.scope():
            self.model = self.plain_copy()
        self._evaluator = Evaluator(self.model, strategy)

    def evaluate(self, split: Split) -> Evaluation:
        """Returns the answers on a split."""
        return self._evaluator.run(split)

    def evaluate_own(self, split: Split) -> Evaluation:
        """Returns the answers on a split that no other worker has or waits for."""
        return self._evaluator.run_alone(split)

    def plain_copy(self) -> keras.Model:
        """Returns the network anew from the members' bundles."""
        return average([load_network(member.bundle)[1] for member in self._members])


def train(options: TrainOptions, source: Source, where: Places) -> TrainResult:
    """Trains the members that are missing, averages all, and writes the run folder.

    Raises:
        UserError: when a member is no bundle, or one that is there already is of another job.
    """
    given = [Member(bundle, _card(bundle)) for bundle in options.member]
    strategy = training.devices(options)
    with training.told_of_peers(strategy):
        once = _ReadOnce(source)
        trained = _Members(options, once, where, strategy=strategy)
        members = given + [trained.get(seed) for seed in _seeds(options, given)]
        recipe = training.recipe_of(options)
        digits = training.read(options, once, recipe, strategy=strategy)
        chief = worker_index(strategy) == 0
        if chief:
            _warn_of_other_data(given, digits)
            print(f"the average of {len(members)} members")
        averaged = Ensemble(recipe, members, digits, strategy=strategy)
        if chief:
            history.write(averaged.history, where.run.folder)
            where.run.publish(history.FILE)
        noted: dict[str, str | int] = {
            "members": len(members),
            "member_digests": " ".join(member.digest for member in members),
        }
        recorded = [member.recorded(where.run.uri) for member in members]
        return concluding.conclude(
            options, averaged, digits, where=where, write=chief, noted=noted, members=recorded
        )


def _seeds(options: TrainOptions, given: Sequence[Member]) -> list[int]:
    """Returns the seeds of those to train: from `--seed` upwards, without those of given twins."""
    taken = {member.card.seed for member in given if member.card.recipe == options.recipe}
    free = (seed for seed in itertools.count(options.seed) if seed not in taken)
    return list(itertools.islice(free, (options.members or len(given)) - len(given)))


class _Members:
    """Trains members, each in a folder of its own below the run's."""

    def __init__(
        self, options: TrainOptions, source: Source, where: Places, *, strategy: tf.distribute.Strategy
    ) -> None:
        self._options = options
        self._source = source
        self._where = where
        self._strategy = strategy
        self._agreement = Agreement(strategy)
        self._chief = worker_index(strategy) == 0

    def get(self, seed: int) -> Member:
        """Returns a member that an earlier process finished, or trains it."""
        output = self._where.run.at(f"{run_folder.MEMBERS}/seed-{seed}")
        options = dataclasses.replace(self._options, seed=seed, output=output, members=None, member=())
        where = run_location.of_run(output, {})
        bundle = where.run.at(run_folder.BUNDLE)
        # As the chief sees it: it may be writing the bundle while another worker looks.
        finished = self._agreement.of_chief(where.run.exists(f"{run_folder.BUNDLE}/{CARD}"))
        if finished and options.resume:
            self._check(options, _card(bundle))
        else:
            if self._chief:
                run_folder.claim(where, resume=options.resume)
                print(f"\nmember with seed {seed}", flush=True)
            training.train_on(self._strategy, options, source=self._source, where=where)
        # Nobody reads a bundle before the chief has written it.
        self._agreement.of_chief(1)
        return Member(bundle, _card(bundle), tuple(history.read(where.run.fetch(history.FILE))))

    def _check(self, options: TrainOptions, card: ModelCard) -> None:
        """Refuses a finished member that this job would have trained otherwise."""
        expected = {
            "recipe": options.recipe,
            "seed": options.seed,
            "overrides": overrides.recorded(options, training.recipe_of(options)),
            "data digest": self._digits(options).digest,
        }
        found = {
            "recipe": card.recipe,
            "seed": card.seed,
            "overrides": dict(card.overrides),
            "data digest": card.data_digest,
        }
        for name, value in expected.items():
            if found[name] != value:
                raise UserError(
                    f"a resumed run is told what its members were told, {name} = {found[name]!r}",
                    got=value,
                    remedy="give the same options, or another --output",
                )

    def _digits(self, options: TrainOptions) -> Digits:
        return training.read(options, self._source, training.recipe_of(options), strategy=self._strategy)


class _ReadOnce:
    """A source that is read for the first member and remembered for the others."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._digits: Digits | None = None

    def read(self, **asked: Any) -> Digits:
        """Returns what the source did at first; members all ask for the same."""
        if self._digits is None:
            self._digits = self._source.read(**asked)
        return self._digits


def _card(place: str) -> ModelCard:
    try:
        return ModelCard.from_json(read_card(place).decode())
    except ValueError as error:
        raise UserError(
            "a member is a model bundle",
            got=place,
            remedy=f"name another: its {CARD} cannot be read: {error}",
        ) from error


def _warn_of_other_data(given: Sequence[Member], digits: Digits) -> None:
    for member in given:
        if member.card.data_digest != digits.digest:
            print(
                f"warning: {member.bundle} was trained on other data, perhaps on images held out here",
                file=sys.stderr,
            )
