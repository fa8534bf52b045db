"""Search spaces of recipes: plain records, so that loading a recipe needs no tuner."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclasses.dataclass(frozen=True)
class Real:
    """A number in [low, high], searched on a logarithmic scale if `log`."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(
                f"invalid range: {self}; low < high must hold, and 0 < low on a logarithmic scale"
            )


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of several values without an order."""

    values: tuple[bool | int | float | str, ...]

    def __post_init__(self) -> None:
        if len(set(self.values)) < len(self.values) or not self.values:
            raise ValueError(f"invalid choice: {self.values}; the values must differ")


Space = Mapping[str, Real | Choice]
"""By field of `trainer.train_options.TrainOptions`."""


def without_invalid_batches(space: Space, *, replicas: int, images: int) -> Space:
    """Return the space without batches that don't divide over the replicas or exceed the training images."""
    batch = space.get("batch")
    if not isinstance(batch, Choice):
        return space
    valid = tuple(value for value in batch.values if value % replicas == 0 and value <= images)  # type: ignore[operator]
    others = {name: values for name, values in space.items() if name != "batch"}
    return {**others, "batch": Choice(valid)} if valid else others


def distributions(space: Space) -> dict[str, "BaseDistribution"]:
    """Return the space as Optuna's distributions."""
    return {name: _distribution(values) for name, values in space.items()}


def _distribution(values: Real | Choice) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(values, Choice):
        return CategoricalDistribution(values.values)
    return FloatDistribution(values.low, values.high, log=values.log)


def study_spec(space: Space, *, metric: str) -> dict[str, Any]:
    """Return the space as Vertex AI's StudySpec, a JSON object.

    Vertex AI passes `--NAME=VALUE`, so that flags without a value, such as `--batch-norm`, are left out.
    """
    parameters = [
        {"parameterId": name.replace("_", "-"), **_parameter(values)}
        for name, values in space.items()
        if not (isinstance(values, Choice) and isinstance(values.values[0], bool))
    ]
    return {"metrics": [{"metricId": metric, "goal": "MAXIMIZE"}], "parameters": parameters}


def _parameter(values: Real | Choice) -> dict[str, Any]:
    if isinstance(values, Choice):
        # Not discreteValueSpec: its numbers arrive as 128.0, which is no batch size.
        return {"categoricalValueSpec": {"values": [str(value) for value in values.values]}}
    scale = {"scaleType": "UNIT_LOG_SCALE" if values.log else "UNIT_LINEAR_SCALE"}
    return {"doubleValueSpec": {"minValue": values.low, "maxValue": values.high}, **scale}
