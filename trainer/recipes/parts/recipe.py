"""The `Recipe` type: what a recipe file defines."""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any, Self

import keras

from digitmill.engines.bundle_files import read_card
from trainer.recipes.parts.search_space import Space

HOLD_OUT = 5_000 / 60_000
"""Share of the training images held out for validation: 5,000 of MNIST's 60,000."""


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A trained bundle whose predictions a student network learns.

    Attributes:
        place: the bundle's folder, local or in a bucket.
        digest: SHA-256 of its card, which holds the digests of its files.
    """

    place: str
    digest: str

    @classmethod
    def find(cls, place: str) -> Self:
        """Return the bundle in a folder; raise UserError if the folder has no card."""
        return cls(place, hashlib.sha256(read_card(place)).hexdigest())


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train one network. The functions are called in the strategy's scope.

    Attributes:
        model: builds the network, from uint8[N, 28, 28] canonical digits to float32[N, 10] probabilities.
            It includes the scaling of pixels, so that all exports take canonical digits.
        optimizer: builds the optimizer, with its learning rate, for a training of that many steps.
        loss: the loss class, or a partial of it.
        one_hot: whether the loss takes one-hot labels, float32[N, 10], rather than class numbers.
        epochs: passes over the training images.
        batch: global batch size, images.
        global_batch: `auto` multiplies the batch and the learning rate by the number of replicas; None keeps
            both.
        rate_factor: by which the learning rate is multiplied, after a warm-up; see `schedules.scaled`.
        validation_fraction: share of the training images to hold out if the data has no validation split,
            in [0, 1).
        schedule: name of a schedule of `trainer.recipes.parts.schedules` that replaces the optimizer's
            learning rate; None to keep that.
        learning_rate: peak learning rate that replaces the optimizer's; None to keep that.
        clip_norm: greatest global norm of a step's gradients, over all replicas; None for no limit.
        ema: decay of the weights' exponential moving average, in (0, 1), which is evaluated and exported in
            their place; it is smaller in the first steps. None for no average.
        label_smoothing: share of each label that is spread over all classes, in [0, 1); needs one-hot labels.
        augmentation: `trainer.recipes.parts.augmentation.Augmentation`; None for none.
        precision: `float32`, or `mixed`: layers compute in bfloat16 or float16 where that is faster.
        xla: whether to compile the step with XLA: forward and backward pass, then, after the replicas have
            summed their gradients, the update. On CPUs, dense networks were not faster and convolutions 2.5
            times slower.
        patience: stop after that many epochs without a better validation accuracy, and keep the weights of
            the best one; None to train all epochs and keep the last weights.
        accumulate: number of parts, processed one after the other, of a replica's images in each step: for
            batches that don't fit the memory. The update is the same.
        dropout: dropout rate of hidden layers, in [0, 1); None if `model` takes no such argument.
        batch_norm: whether hidden layers are batch-normalized; None if `model` takes no such argument.
        sync_batch_norm: whether batch normalization takes mean and variance of all replicas' images; None or
            False for each replica's own.
        teacher: bundle whose predictions are learned besides the labels; None for labels alone.
        soft_share: the teacher's share of the loss, in [0, 1]; the labels have the rest.
        teacher_temperature: temperature, above 0, that softens both predictions before they are compared.
        needs_teacher: whether the recipe can't be used without a teacher.
        search: what `digitmill tune` may vary, by field.
    """

    model: Callable[..., keras.Model]
    optimizer: Callable[[int], keras.optimizers.Optimizer]
    loss: Callable[..., keras.losses.Loss]
    one_hot: bool
    epochs: int
    batch: int
    global_batch: str | None = None
    rate_factor: float = 1.0
    validation_fraction: float = HOLD_OUT
    schedule: str | None = None
    learning_rate: float | None = None
    clip_norm: float | None = None
    ema: float | None = None
    label_smoothing: float = 0.0
    augmentation: Any = None
    precision: str = "float32"
    xla: bool = False
    patience: int | None = None
    accumulate: int = 1
    dropout: float | None = None
    batch_norm: bool | None = None
    sync_batch_norm: bool | None = None
    teacher: Teacher | None = None
    soft_share: float = 0.9
    teacher_temperature: float = 1.0
    needs_teacher: bool = False
    search: Space = dataclasses.field(default_factory=dict)
