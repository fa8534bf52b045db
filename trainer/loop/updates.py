"""The weight update of a step: sums gradients over the replicas, clips them, applies Keras's optimizer."""

import keras
import tensorflow as tf

from trainer.loop.loss_scaling import LossScale
from trainer.recipes.parts import schedules
from trainer.recipes.parts.recipe import Recipe

_REPLACED_METHODS = ("apply", "_backend_apply_gradients", "_backend_update_step")
"""Methods of the optimizer that `apply` replaces; one that overrides them (Nadam, LossScaleOptimizer) is
refused."""


def make_optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Build a recipe's optimizer with schedule and averaging; raise ValueError for an unsupported one."""
    optimizer = recipe.optimizer(steps)
    if any(
        getattr(type(optimizer), name) is not getattr(keras.optimizers.SGD, name)
        for name in _REPLACED_METHODS
    ):
        name = type(optimizer).__name__
        raise ValueError(f"unsupported optimizer: {name}. Choose one that updates each variable by itself.")
    if recipe.schedule is not None or recipe.learning_rate is not None:
        _set_rate(optimizer, recipe, steps)
    if recipe.rate_factor != 1:
        _scale_rate(optimizer, recipe, steps)
    if recipe.ema is not None:
        optimizer.use_ema, optimizer.ema_momentum = True, recipe.ema
    return optimizer


def _set_rate(optimizer: keras.optimizers.Optimizer, recipe: Recipe, steps: int) -> None:
    own = schedules.schedule_of(optimizer)
    peak = recipe.learning_rate or schedules.peak_of(own)
    if recipe.schedule is None:
        rate = schedules.with_peak(own, peak)
    else:
        rate = schedules.make(recipe.schedule, peak=peak, steps=steps)
    schedules.set_rate(optimizer, rate)


def _scale_rate(optimizer: keras.optimizers.Optimizer, recipe: Recipe, steps: int) -> None:
    own = schedules.schedule_of(optimizer)
    optimizer.learning_rate = schedules.scaled(own, recipe.rate_factor, steps=steps, epochs=recipe.epochs)


def apply(
    optimizer: keras.optimizers.Optimizer,
    gradients: list[tf.Tensor],
    variables: list[keras.Variable],
    *,
    clip_norm: float | None,
    loss_scale: LossScale | None = None,
    xla: bool = False,
) -> None:
    """Update one replica's copy of the weights; called in the context of every replica.

    Like `optimizer.apply`, but sums over the replicas first. Keras clips before it sums, so that the result
    depends on the number of replicas, and it updates in the cross-replica context, which costs a tenth of
    a small network's step.

    Args:
        optimizer: built for these variables.
        gradients: of this replica's share of the loss.
        variables: the trainable variables.
        clip_norm: greatest global norm of the summed gradients; None for no limit.
        loss_scale: by which the loss was scaled; None if it was not.
        xla: whether to compile the update; the sum over the replicas stays outside.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)

    def change(true: list[tf.Tensor]) -> None:
        _change(optimizer, true, variables, clip_norm)

    compiled = tf.function(change, jit_compile=True) if xla else change

    def update(true: list[tf.Tensor]) -> None:
        # These two are not compiled: they leave the replica's context, which a function can't.
        optimizer._apply_weight_decay(variables)
        compiled(true)
        optimizer.iterations.assign_add(1)

    if loss_scale is None:
        update(gradients)
    else:
        loss_scale.update(gradients, [*variables, *optimizer.variables], update)


def _change(
    optimizer: keras.optimizers.Optimizer,
    gradients: list[tf.Tensor],
    variables: list[keras.Variable],
    clip_norm: float | None,
) -> None:
    if clip_norm is not None:
        gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
    rate = optimizer.learning_rate
    for gradient, variable in zip(gradients, variables, strict=True):
        optimizer.update_step(gradient, variable.value, rate)
        if variable.constraint is not None:
            variable.assign(variable.constraint(variable))
    if optimizer.use_ema:
        _average(optimizer, variables)


def _average(optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]) -> None:
    """Update the moving averages with a decay that rises from 0 to the optimizer's.

    Keras's constant decay would keep the random initial weights in the average for long. The rise is that
    of `tf.train.ExponentialMovingAverage` with a step.
    """
    step = tf.cast(optimizer.iterations.value, tf.float32)
    decay = tf.minimum(optimizer.ema_momentum, step / (10 + step))
    averages = optimizer._model_variables_moving_average
    for average, variable in zip(averages, variables, strict=True):
        average.assign_sub((1 - decay) * (average - variable))
