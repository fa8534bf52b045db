"""The search as a picture: what each trial reached, and how it went with each setting."""

import io
import itertools
import statistics
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.tuning.trial_results import COMPLETE, FAILED, PRUNED, Trial, best

FILE: Final = "trials.png"

# Paul Tol's "bright" scheme, as in a run's plots; the marks differ too.
_MARKS: Final = {COMPLETE: ("#4477AA", "o"), PRUNED: ("#CCBB44", "v"), FAILED: ("#EE6677", "X")}
_INK: Final = "#333333"
_DPI: Final = 150
_COLUMNS: Final = 3
_SIZE: Final = 26
_BEYOND: Final = 4
"""How far below the best accuracies are shown, in distances of the median trial from the best: one that
learned nothing would press all others into one line."""


def draw(trials: Sequence[Trial], names: Sequence[str]) -> bytes:
    """Returns a PNG.

    Args:
        trials: that have ended.
        names: the settings that were searched.
    """
    rows = 1 + -(-len(names) // _COLUMNS)
    figure = Figure(figsize=(9, 2.8 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, _COLUMNS)
    course = figure.add_subplot(grid[0, :])
    floor = lowest(trials)
    _scatter(course, trials, x=[trial.number for trial in trials], floor=floor)
    _best_so_far(course, trials)
    course.set_title("Validation accuracy by trial", color=_INK)
    course.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    if course.get_legend_handles_labels()[0]:
        # Beside the axes: within, it would hide trials.
        handles, labels = course.get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside upper center",
            ncols=len(labels),
            frameon=False,
            fontsize=8,
            labelcolor=_INK,
        )
    for place, name in enumerate(names):
        axes = figure.add_subplot(grid[1 + place // _COLUMNS, place % _COLUMNS])
        _by_setting(axes, trials, name, floor=floor)
    content = io.BytesIO()
    figure.savefig(content, dpi=_DPI, format="png")
    return content.getvalue()


def lowest(trials: Sequence[Trial]) -> float | None:
    """Returns the accuracy below which trials stand on the lower edge; None where all are as they are."""
    known = [trial.val_accuracy for trial in trials if trial.val_accuracy is not None]
    if not known:
        return None
    highest = max(known)
    floor = highest - _BEYOND * (highest - statistics.median(known))
    return floor if min(known) < floor else None


def _by_setting(axes: Axes, trials: Sequence[Trial], name: str, *, floor: float | None) -> None:
    values = [trial.settings[name] for trial in trials]
    # Choices stand side by side, numbers where they belong.
    if all(isinstance(value, float) for value in values):
        _scatter(axes, trials, x=values, floor=floor)
        if values and min(values) > 0 and max(values) > 20 * min(values):
            axes.set_xscale("log")
    else:
        choices = sorted(set(values))
        _scatter(axes, trials, x=[choices.index(value) for value in values], floor=floor)
        axes.set_xticks(range(len(choices)), [str(choice).replace("-", "-\n") for choice in choices])
        axes.set_xlim(-0.5, len(choices) - 0.5)
    axes.set_title(name.replace("_", " "), color=_INK, fontsize=10)


def _scatter(axes: Axes, trials: Sequence[Trial], *, x: Sequence[Any], floor: float | None) -> None:
    known = [
        (across, trial, trial.val_accuracy)
        for across, trial in zip(x, trials, strict=True)
        if trial.val_accuracy is not None
    ]
    for state, (colour, mark) in _MARKS.items():
        shown = [(at, accuracy) for at, trial, accuracy in known if trial.state == state]
        inside = [(at, accuracy) for at, accuracy in shown if floor is None or accuracy >= floor]
        if inside:
            across, up = zip(*inside, strict=True)
            axes.scatter(across, up, color=colour, marker=mark, s=_SIZE, label=state)
        if floor is not None and len(inside) < len(shown):
            below = [at for at, accuracy in shown if accuracy < floor]
            axes.scatter(
                below,
                np.full(len(below), floor),
                facecolors="none",
                edgecolors=colour,
                marker=mark,
                s=_SIZE,
                label=f"{state}, below {floor:.1%}",
            )
    found = best(trials)
    for at, trial, accuracy in known:
        if trial is found:
            axes.scatter(
                [at], [accuracy], facecolors="none", edgecolors=_INK, s=4 * _SIZE, lw=1, label="the best"
            )
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))


def _best_so_far(axes: Axes, trials: Sequence[Trial]) -> None:
    complete = [
        (trial.number, trial.val_accuracy)
        for trial in trials
        if trial.state == COMPLETE and trial.val_accuracy is not None
    ]
    if complete:
        numbers, accuracies = zip(*complete, strict=True)
        axes.plot(
            numbers,
            list(itertools.accumulate(accuracies, max)),
            color=_INK,
            lw=1,
            label="best so far",
            drawstyle="steps-post",
        )
