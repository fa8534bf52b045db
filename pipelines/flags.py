"""Kinds of flag values that the jobs share."""

from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A number within bounds; NaN, which compares with none, is outside of all."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Returns the number."""
        number = super().convert(value, param, ctx)
        if number != number or number in (float("inf"), float("-inf")):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number
