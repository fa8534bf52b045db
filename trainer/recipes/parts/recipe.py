"""What a recipe consists of."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from trainer.recipes.parts.search_space import Space
from trainer.recipes.parts.teachers import Teacher

HOLD_OUT = 5_000 / 60_000
"""Share of the training images held out for validation: 5,000 of MNIST's 60,000."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train one network. The functions are called within the strategy's scope.

    Attributes:
        model: builds the network: uint8[N, 28, 28] canonical digits in, float32[N, 10] probabilities
            out. Pixel scaling is part of it, so that every export takes canonical digits.
        optimizer: builds the optimizer, and with it the learning rate's course over a training of
            so many steps.
        loss: the loss class, or a partial of it; called with `reduction="sum"`.
        one_hot: whether the loss takes one-hot labels, float32[N, 10], rather than class numbers.
        epochs: passes over the training images.
        batch: global batch size, images.
        validation_fraction: share of the training images to hold out where the data has no
            validation split of its own, in [0, 1).
        schedule: a name of `trainer.recipes.parts.schedules` in place of the optimizer's own learning rate;
            None leaves that.
        learning_rate: greatest learning rate in place of the optimizer's own.
        clip_norm: greatest global norm of a step's gradients, over all replicas; None for any.
        ema: decay of the weights' moving average, in (0, 1), less in the first steps; it is what is
            evaluated and exported; None for the weights themselves.
        label_smoothing: share of each label that is spread over all classes, in [0, 1); only with
            one-hot labels.
        augmentation: a `trainer.recipes.parts.augmentation.Augmentation`; None for images as they are.
        precision: `float32`, or `mixed`: layers compute in bfloat16 where the chip has it.
        xla: whether forward and backward pass are compiled. On CPUs that was no faster for dense
            nets and 2.5 times slower for convolutions.
        patience: epochs without a better validation accuracy after which training stops, and the
            best epoch's weights are kept; None for all epochs and the last one's weights.
        accumulate: parts in which a replica goes through its share of each batch, one after the
            other, so that a batch fits which else would not; the update is the same.
        dropout: share of each hidden layer's features that is dropped in training, in [0, 1); None
            where `model` takes no such argument.
        batch_norm: whether hidden layers are normalised; None where `model` takes no such argument.
        teacher: a trained network whose answers are taught beside the labels; None for the labels alone.
        soft_share: what the teacher's answers count in the loss, in [0, 1]; the labels count the rest.
        teacher_temperature: by which the answers of both are softened before they are compared, above 0.
        taught: whether the recipe is for use with a teacher only.
        search: what `digitmill tune` may choose from, by the name of a field above.
    """

    model: Callable[..., keras.Model]
    optimizer: Callable[[int], keras.optimizers.Optimizer]
    loss: Callable[..., keras.losses.Loss]
    one_hot: bool
    epochs: int
    batch: int
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
    teacher: Teacher | None = None
    soft_share: float = 0.9
    teacher_temperature: float = 1.0
    taught: bool = False
    search: Space = dataclasses.field(default_factory=dict)
