"""What a recipe lets the search choose from; plain records, so that a recipe needs no tuner to load."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclasses.dataclass(frozen=True)
class Real:
    """A number in [low, high].

    Attributes:
        low: the least.
        high: the greatest.
        log: whether its magnitude is searched: 0.001 to 0.01 counts as much as 0.01 to 0.1.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(
                f"a range has low < high, and 0 < low where its magnitude is searched; got {self}"
            )


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of some values, in no order."""

    values: tuple[bool | int | float | str, ...]

    def __post_init__(self) -> None:
        if len(set(self.values)) < len(self.values) or not self.values:
            raise ValueError(f"a choice is between values that differ; got {self.values}")


Space = Mapping[str, Real | Choice]
"""By the field of `trainer.train_options.TrainOptions` that is searched."""


def dividing(space: Space, *, replicas: int, images: int) -> Space:
    """Returns the space without batches that do not divide over the replicas or that the data do not fill."""
    batch = space.get("batch")
    if not isinstance(batch, Choice):
        return space
    fitting = tuple(value for value in batch.values if value % replicas == 0 and value <= images)  # type: ignore[operator]
    others = {name: values for name, values in space.items() if name != "batch"}
    return {**others, "batch": Choice(fitting)} if fitting else others


def distributions(space: Space) -> dict[str, "BaseDistribution"]:
    """Returns the space in Optuna's terms."""
    return {name: _distribution(values) for name, values in space.items()}


def _distribution(values: Real | Choice) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(values, Choice):
        return CategoricalDistribution(values.values)
    return FloatDistribution(values.low, values.high, log=values.log)


def study_spec(space: Space, *, metric: str) -> dict[str, Any]:
    """Returns the space in the terms of Vertex AI's StudySpec, in JSON's names.

    Trials are started with `--NAME=VALUE`; flags without a value, such as `--batch-norm`, are left out.
    """
    parameters = [
        {"parameterId": name.replace("_", "-"), **_parameter(values)}
        for name, values in space.items()
        if not (isinstance(values, Choice) and isinstance(values.values[0], bool))
    ]
    return {"metrics": [{"metricId": metric, "goal": "MAXIMIZE"}], "parameters": parameters}


def _parameter(values: Real | Choice) -> dict[str, Any]:
    if isinstance(values, Choice):
        # Never discrete numbers: those arrive as 128.0, which is no batch.
        return {"categoricalValueSpec": {"values": [str(value) for value in values.values]}}
    scale = {"scaleType": "UNIT_LOG_SCALE" if values.log else "UNIT_LINEAR_SCALE"}
    return {"doubleValueSpec": {"minValue": values.low, "maxValue": values.high}, **scale}
