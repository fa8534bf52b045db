"""PNG pictures of a run: curves, coverage, confusion, classes, predictions."""

import pathlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from schemas.digit import CLASSES
from trainer.data.splits import Digits, Split
from trainer.history import Epoch
from trainer.measures import Evaluation

# Paul Tol's "bright" scheme: told apart by colour-blind readers and on grey prints.
_BLUE: Final = "#4477AA"
_RED: Final = "#EE6677"
_DARK_RED: Final = "#AA3344"
_YELLOW: Final = "#CCBB44"
_INK: Final = "#333333"
_FAINT: Final = "#DDDDDD"
_BLUES: Final = LinearSegmentedColormap.from_list("calm", ["#FFFFFF", "#BBCCEE", _BLUE, "#222255"])

_DARK_SHARE: Final = 0.25
"""Cells of a greater share are so dark that their number is white."""

_DPI: Final = 150
_SAMPLE_ROWS, _WORST_ROWS, _COLUMNS = 3, 2, 8


def write(folder: pathlib.Path, epochs: Sequence[Epoch], *, digits: Digits, test: Evaluation) -> None:
    """Writes the six pictures into a folder; those of the epochs only where there are any.

    Args:
        folder: exists.
        epochs: the run's history; of an average of trained networks it may be empty.
        digits: what it was trained on.
        test: the answers on the test split.
    """
    curves = {"accuracy": accuracy_curves, "loss": loss_curves} if epochs else {}
    figures = {name: draw(epochs) for name, draw in curves.items()} | {
        "coverage": coverage_curve(test),
        "confusion": confusion_matrix(test),
        "class_distribution": class_distribution(digits),
        "predictions": sample_predictions(digits.test, test),
    }
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=_DPI)


def accuracy_curves(epochs: Sequence[Epoch]) -> Figure:
    """Draws accuracy by epoch, training and validation."""
    figure, axes = _figure("Accuracy by epoch")
    _curves(axes, epochs, training=[e.accuracy for e in epochs], validation=[e.val_accuracy for e in epochs])
    axes.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
    axes.set_ylabel("images answered right")
    axes.legend(loc="lower right", frameon=False)
    return figure


def loss_curves(epochs: Sequence[Epoch]) -> Figure:
    """Draws mean cross-entropy by epoch, training and validation."""
    figure, axes = _figure("Loss by epoch")
    _curves(axes, epochs, training=[e.loss for e in epochs], validation=[e.val_loss for e in epochs])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("mean cross-entropy, nats")
    axes.legend(loc="upper right", frameon=False)
    return figure


def coverage_curve(test: Evaluation) -> Figure:
    """Draws how many of the surest answers are wrong, by the share of images that is accepted."""
    figure, axes = _figure("Wrong among the accepted, test images")
    surest_first = np.argsort(-test.confidence, kind="stable")
    wrong = np.cumsum((test.predicted != test.labels)[surest_first])
    accepted = np.arange(1, len(wrong) + 1)
    axes.plot(accepted / len(wrong), wrong / accepted, color=_BLUE)
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(ticker.PercentFormatter(1.0))
    # A decimal: what matters are tenths of a percent.
    axes.yaxis.set_major_formatter(ticker.PercentFormatter(1.0, decimals=1))
    axes.set_xlabel("images accepted, the surest first")
    axes.set_ylabel("of them answered wrong")
    return figure


def _curves(
    axes: Axes, epochs: Sequence[Epoch], *, training: Sequence[float], validation: Sequence[float | None]
) -> None:
    numbers = [epoch.epoch for epoch in epochs]
    # A single epoch is a point, which a line would not show.
    style: dict[str, Any] = {"linewidth": 2, "marker": "o", "markersize": 4}
    axes.plot(numbers, training, color=_BLUE, label="training (while it ran)", **style)
    held_out = [value for value in validation if value is not None]
    if held_out:
        axes.plot(numbers, held_out, color=_RED, label="validation (after the epoch)", **style)
    axes.set_xlim(0.5, len(epochs) + 0.5)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.grid(color=_FAINT, linewidth=0.8)


def confusion_matrix(test: Evaluation, *, title: str = "Test images") -> Figure:
    """Draws a split's images by true and predicted digit; colour is the share of the true digit's images."""
    counts = test.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure(
        f"{title} by true and predicted digit\naccuracy {test.accuracy.value:.2%}", (7, 6.6)
    )
    # The root shows the few wrong ones, which a linear scale would leave white.
    axes.imshow(np.sqrt(shares), cmap=_BLUES, vmin=0, vmax=1)
    for true, predicted in np.argwhere(counts):
        colour = "white" if shares[true, predicted] > _DARK_SHARE else _INK
        axes.text(
            predicted,
            true,
            f"{counts[true, predicted]:,}",
            ha="center",
            va="center",
            color=colour,
            fontsize=9,
        )
    axes.set_xticks(range(CLASSES))
    axes.set_yticks(range(CLASSES))
    axes.set_xlabel("predicted digit")
    axes.set_ylabel("true digit")
    axes.set_xticks(np.arange(1, CLASSES) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, CLASSES) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    return figure


def class_distribution(digits: Digits) -> Figure:
    """Draws how many images each digit has, by split."""
    figure, axes = _figure("Images per digit")
    colours = {"train": _BLUE, "validation": _RED, "test": _YELLOW}
    splits = digits.splits()
    width = 0.8 / len(splits)
    for place, (name, split) in enumerate(splits.items()):
        left = np.arange(CLASSES) + (place - (len(splits) - 1) / 2) * width
        axes.bar(left, split.class_counts(), width, color=colours[name], label=f"{name}: {len(split):,}")
    axes.set_xticks(range(CLASSES))
    axes.set_xlabel("digit")
    axes.set_ylabel("images")
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    axes.grid(axis="y", color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=len(splits), frameon=False)
    return figure


def sample_predictions(split: Split, test: Evaluation) -> Figure:
    """Draws test digits with true and predicted label: some evenly chosen, and those answered worst."""
    figure = Figure(figsize=(10, 8.4), layout=_layout())
    grid = figure.add_gridspec(2, 1, height_ratios=(_SAMPLE_ROWS, _WORST_ROWS))
    upper, lower = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    evenly = np.linspace(0, len(split) - 1, min(_SAMPLE_ROWS * _COLUMNS, len(split))).astype(int)
    right = test.probabilities[np.arange(len(split)), test.labels]
    worst = np.argsort(right, kind="stable")[: _WORST_ROWS * _COLUMNS]
    _digit_grid(
        upper,
        evenly,
        split,
        test,
        title="A sample of the test digits: true → predicted (confidence)",
        rows=_SAMPLE_ROWS,
    )
    _digit_grid(lower, worst, split, test, title="The test digits answered worst", rows=_WORST_ROWS)
    return figure


def _digit_grid(
    panel: SubFigure, which: np.ndarray, split: Split, test: Evaluation, *, title: str, rows: int
) -> None:
    panel.suptitle(title, color=_INK, fontsize=13)
    for place, axes in enumerate(panel.subplots(rows, _COLUMNS).flat):
        axes.set_axis_off()
        if place < len(which):
            index = which[place]
            axes.imshow(split.images[index], cmap="gray_r", vmin=0, vmax=255)
            axes.set_title(**_verdict(test, index), fontsize=9, pad=3)


def _verdict(test: Evaluation, index: int) -> dict[str, str]:
    true, predicted = test.labels[index], test.predicted[index]
    label = f"{true} → {predicted} ({test.confidence[index]:.0%})"
    # A sign beside the colour, for readers who do not see it.
    return (
        {"label": f"✗ {label}", "color": _DARK_RED} if true != predicted else {"label": label, "color": _INK}
    )


def _layout() -> ConstrainedLayoutEngine:
    return ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)  # inches around everything


def _figure(title: str, size: tuple[float, float] = (7, 4.4)) -> tuple[Figure, Axes]:
    # Not pyplot: it keeps every figure, and picks a window system where there is one.
    figure = Figure(figsize=size, layout=_layout())
    axes = figure.add_subplot()
    axes.set_title(title, color=_INK, fontsize=13, pad=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK)
    return figure, axes
