"""Draws the contenders beside each other: pipeline speed and the whole command."""

import pathlib
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from benchmarks.contenders import BOUNDS
from benchmarks.results import Results
from benchmarks.tables import DIGITMILL, parts

NAME: Final = "benchmarks.png"
"""Its file name."""

_OURS: Final = "#0b6e99"
_THEIRS: Final = "#b8bfc6"
_TEXT: Final = "#22272b"
_FAINT: Final = "#dfe3e6"


def draw(results: Results, path: pathlib.Path) -> None:
    """Write a PNG with a row for each model: images/s on the left, seconds of the command on the right.

    Args:
        results: with scoring runs.
        path: of the PNG.
    """
    models = parts(results.where(section="scoring"), "model")
    figure = Figure(figsize=(10, 2.7 * len(models)), layout=ConstrainedLayoutEngine(hspace=0.08, wspace=0.06))
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(models), 2, squeeze=False)
    for runs, (left, right) in zip(models, panels, strict=True):
        sizes = sorted(runs.distinct("images"))
        _speed(left, runs.where(images=sizes[-1]))
        # The smaller folder tells more about the start; the smallest size is there in every run.
        _command(right, runs.where(images=sizes[0]))
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _speed(axes: Axes, runs: Results) -> None:
    speeds = {those[0].contender: those[0].images / those.median("pipeline_seconds") for those in by(runs)}
    _bars(axes, speeds, "{:,.0f}".format)
    _title(axes, runs, "images/s of the pipeline: more is better")


def _command(axes: Axes, runs: Results) -> None:
    seconds = {those[0].contender: those.median("command_seconds") for those in by(runs)}
    _bars(axes, seconds, "{:.1f} s".format)
    _title(axes, runs, "whole command: less is better")


def by(runs: Results) -> list[Results]:
    """Return the runs apart by contender."""
    return parts(runs, "contender")


def _bars(axes: Axes, values: dict[str, float], text: Any) -> None:
    names = list(values)
    colors = [_OURS if name == DIGITMILL else _THEIRS for name in names]
    bars = axes.barh(names, list(values.values()), color=colors, height=0.65)
    for name, bar in zip(names, bars, strict=True):
        if name in {bound.name for bound in BOUNDS}:
            # No peer, but a bound: nobody uses it.
            bar.set(facecolor="white", edgecolor=_THEIRS, hatch="////")
    axes.bar_label(bars, [text(value) for value in values.values()], padding=4, color=_TEXT, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * max(values.values()))
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(_FAINT)
    axes.tick_params(axis="y", length=0, labelcolor=_TEXT, labelsize=9)


def _title(axes: Axes, runs: Results, text: str) -> None:
    title = f"{runs[0].model}, {runs[0].images:,} images\n{text}"
    axes.set_title(title, loc="left", fontsize=10, color=_TEXT)
