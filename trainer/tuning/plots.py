"""Plots a search: the accuracy of each trial in order, and by each setting.

Optuna's own plots show only complete trials, and change pyplot's style for the whole process.
"""

import io
import itertools
import statistics
from collections.abc import Sequence
from typing import Any, Final

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
"""Range of the axes below the best trial, in distances between it and the median: a trial that learned
nothing would compress all others into one line."""


def draw(trials: Sequence[Trial], names: Sequence[str]) -> bytes:
    """Return a PNG of finished trials, with axes for each of the searched settings."""
    rows = 1 + -(-len(names) // _COLUMNS)
    figure = Figure(figsize=(9, 2.8 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, _COLUMNS)
    floor = lowest(trials) or 0.0
    by_trial = figure.add_subplot(grid[0, :])
    _scatter(by_trial, trials, x=[trial.number for trial in trials], floor=floor)
    _best_so_far(by_trial, trials)
    by_trial.set_title("Validation accuracy by trial", color=_INK)
    by_trial.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    handles, labels = by_trial.get_legend_handles_labels()
    if labels:
        # Above the axes: inside, it would hide trials.
        figure.legend(
            handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=8,
            labelcolor=_INK,
        )  # fmt: skip
    for place, name in enumerate(names):
        axes = figure.add_subplot(grid[1 + place // _COLUMNS, place % _COLUMNS])
        _by_setting(axes, trials, name, floor=floor)
    content = io.BytesIO()
    figure.savefig(content, dpi=_DPI, format="png")
    return content.getvalue()


def lowest(trials: Sequence[Trial]) -> float | None:
    """Return the accuracy below which trials are drawn at the lower edge; None if no trial is that low."""
    known = [trial.val_accuracy for trial in trials if trial.val_accuracy is not None]
    if not known:
        return None
    highest = max(known)
    floor = highest - _BEYOND * (highest - statistics.median(known))
    return floor if min(known) < floor else None


def _by_setting(axes: Axes, trials: Sequence[Trial], name: str, *, floor: float) -> None:
    values = [trial.settings[name] for trial in trials]
    if all(isinstance(value, float) for value in values):
        _scatter(axes, trials, x=values, floor=floor)
        if values and min(values) > 0 and max(values) > 20 * min(values):
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    else:
        choices = sorted(set(values))
        _scatter(axes, trials, x=[choices.index(value) for value in values], floor=floor)
        axes.set_xticks(range(len(choices)), [str(choice).replace("-", "-\n") for choice in choices])
        axes.set_xlim(-0.5, len(choices) - 0.5)
    axes.set_title(name.replace("_", " "), color=_INK, fontsize=10)


def _scatter(axes: Axes, trials: Sequence[Trial], *, x: Sequence[Any], floor: float) -> None:
    known = [
        (at, trial, trial.val_accuracy)
        for at, trial in zip(x, trials, strict=True)
        if trial.val_accuracy is not None
    ]
    for (state, (color, mark)), below in itertools.product(_MARKS.items(), (False, True)):
        points = [
            (at, max(accuracy, floor))
            for at, trial, accuracy in known
            if trial.state == state and (accuracy < floor) == below
        ]
        if points:
            places, accuracies = zip(*points, strict=True)
            axes.scatter(
                places,
                accuracies,
                facecolors="none" if below else color,
                edgecolors=color,
                marker=mark,
                s=_SIZE,
                label=f"{state}, below {floor:.1%}" if below else state,
            )
    found = best(trials)
    ring = [(at, accuracy) for at, trial, accuracy in known if trial is found]
    if ring:
        axes.scatter(*ring[0], facecolors="none", edgecolors=_INK, s=4 * _SIZE, lw=1, label="the best")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))


def _best_so_far(axes: Axes, trials: Sequence[Trial]) -> None:
    complete = [trial for trial in trials if trial.state == COMPLETE and trial.val_accuracy is not None]
    if complete:
        highest = itertools.accumulate((trial.val_accuracy or 0.0 for trial in complete), max)
        numbers = [trial.number for trial in complete]
        axes.plot(numbers, list(highest), color=_INK, lw=1, label="best so far", drawstyle="steps-post")
