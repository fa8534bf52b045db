"""The search as a picture: what each trial reached, and how it went with each setting."""

import io
import itertools
from collections.abc import Sequence
from typing import Any, Final

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.tuning.results import COMPLETE, FAILED, PRUNED, Trial

FILE: Final = "trials.png"

# Paul Tol's "bright" scheme, as in a run's plots; the marks differ too.
_MARKS: Final = {COMPLETE: ("#4477AA", "o"), PRUNED: ("#CCBB44", "v"), FAILED: ("#EE6677", "x")}
_INK: Final = "#333333"
_DPI: Final = 150
_COLUMNS: Final = 3


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
    _scatter(course, trials, x=[trial.number for trial in trials])
    _best_so_far(course, trials)
    course.set_title("Validation accuracy by trial", color=_INK)
    course.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    if course.get_legend_handles_labels()[0]:
        course.legend(frameon=False, loc="lower right")
    for place, name in enumerate(names):
        axes = figure.add_subplot(grid[1 + place // _COLUMNS, place % _COLUMNS])
        values = [trial.settings[name] for trial in trials]
        # Choices stand side by side, numbers where they belong.
        chosen = not all(isinstance(value, float) for value in values)
        _scatter(axes, trials, x=list(map(str, values)) if chosen else values)
        if not chosen and min(values) > 0 and max(values) > 20 * min(values):
            axes.set_xscale("log")
        axes.set_title(name.replace("_", " "), color=_INK, fontsize=10)
    content = io.BytesIO()
    figure.savefig(content, dpi=_DPI, format="png")
    return content.getvalue()


def _scatter(axes: Axes, trials: Sequence[Trial], *, x: Sequence[Any]) -> None:
    for state, (colour, mark) in _MARKS.items():
        shown = [
            (at, trial.val_accuracy)
            for at, trial in zip(x, trials, strict=True)
            if trial.state == state and trial.val_accuracy is not None
        ]
        if shown:
            across, accuracies = zip(*shown, strict=True)
            axes.scatter(across, accuracies, color=colour, marker=mark, s=22, label=state)
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
