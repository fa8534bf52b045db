"""The charts of a run: curves, confusion matrix, coverage, calibration, class distribution."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from digitmill.reports.charts.acceptance import Accepting, Explorer, coverage_curve, reliability_diagram
from digitmill.reports.charts.chart import Chart
from digitmill.reports.charts.curves import curves
from digitmill.reports.charts.distributions import bars_side_by_side
from digitmill.reports.charts.matrices import Matrix, matrix
from digitmill.reports.numbers import fraction, share, thousands
from digitmill.reports.precision_recall import most_frequent_mistake
from schemas.model.trust import Coverage
from trainer.report.augmentation_preview import draw_augmented
from trainer.report.record import RunRecord, SplitMetrics
from trainer.report.sample_predictions import draw_predictions
from trainer.run.history import Epoch, best_epoch

_MAX_MEMBERS: Final = 8
"""Maximum number of curves, which colors and dashes can distinguish."""


@dataclasses.dataclass(frozen=True)
class RunCharts:
    """The charts of a run.

    Attributes:
        reliability: reliability diagrams with the temperature, and without it if there is one.
        curves: curves by epoch and step; empty if nothing was trained.
        classes: images per digit, by split.
        predictions: random test images; None if the record has none.
        augmentation: augmented training images; None if the record has none.
    """

    confusion: Matrix
    explorer: Explorer
    reliability: tuple[Chart, ...]
    curves: tuple[Chart, ...]
    classes: Chart
    predictions: Chart | None
    augmentation: Chart | None

    def charts(self) -> Iterator[Chart]:
        """Yield all charts."""
        yield from (self.confusion.chart, self.explorer.chart, self.classes)
        yield from (*self.reliability, *self.curves)
        yield from filter(None, (self.predictions, self.augmentation))


def draw_charts(
    record: RunRecord, epochs: Sequence[Epoch], *, accept: float, temperature: float
) -> RunCharts:
    """Draw the charts of a run."""
    test = record.answers["test"]
    return RunCharts(
        confusion=confusion(test),
        explorer=coverage_curve(coverage_points(test.coverage, accept=accept), accept=accept),
        reliability=tuple(_reliability(test, temperature)),
        curves=tuple(_curves(record, epochs)),
        classes=_classes(record.class_counts),
        predictions=draw_predictions(record.random) if record.random else None,
        augmentation=draw_augmented(record.augmented) if record.augmented else None,
    )


def confusion(test: SplitMetrics) -> Matrix:
    """Draw the confusion matrix of the test images, with the most frequent mistake in its caption."""
    mistake = most_frequent_mistake(test.confusion)
    reading = f"All {thousands(test.images)} test images are answered right."
    if mistake:
        true, predicted, count = mistake
        how_often = "once" if count == 1 else f"{thousands(count)} times"
        reading = (
            f"{thousands(test.images - test.right)} of {thousands(test.images)} test images are answered "
            f"wrong; most often {true} is taken for {predicted}, {how_often}."
        )
    return matrix(test.confusion, name="confusion", title="True and predicted digits", reading=reading)


def coverage_points(coverage: Sequence[Coverage], *, accept: float) -> list[Accepting]:
    """Return the coverage curve, from the highest threshold that accepts all images."""
    full = [place for place, row in enumerate(coverage) if row.accepted == row.images]
    in_force = min(range(len(coverage)), key=lambda place: abs(coverage[place].threshold - accept))
    first = min(full[-1] if full else 0, in_force)
    return [Accepting(**vars(row), labeled=row.accepted, expected_wrong=0.0) for row in coverage[first:]]


def _reliability(test: SplitMetrics, temperature: float) -> Iterator[Chart]:
    yield reliability_diagram(test.calibrated.bins)
    if temperature != 1:
        yield reliability_diagram(
            test.uncalibrated.bins, name="reliability_before", title="Before the temperature"
        )


def _curves(record: RunRecord, epochs: Sequence[Epoch]) -> Iterator[Chart]:
    if record.members:
        yield from _member_curves(record, epochs)
    elif epochs:
        yield from _run_curves(epochs)
    if record.learning_rates:
        yield _learning_rate(record.learning_rates)


def _run_curves(epochs: Sequence[Epoch]) -> Iterator[Chart]:
    """Yield the curves of accuracy and loss of one network; with validation if images were held out."""
    splits = {"training": ""} if epochs[-1].val_accuracy is None else {"training": "", "validation": "val_"}
    for name, title, reading, ylabel in (
        ("accuracy", "Accuracy by epoch", accuracy_reading(epochs), "answered right"),
        ("loss", "Loss by epoch", loss_reading(epochs), "cross-entropy, nats"),
    ):
        yield curves(
            {split: [getattr(epoch, prefix + name) for epoch in epochs] for split, prefix in splits.items()},
            at=[epoch.epoch for epoch in epochs],
            name=name,
            title=title,
            reading=reading,
            ylabel=ylabel,
            shares=name == "accuracy",
        )


def accuracy_reading(epochs: Sequence[Epoch]) -> str:
    """Return the caption of the accuracy curves."""
    last, best = epochs[-1], best_epoch(epochs)
    if last.val_accuracy is None:
        return (
            f"{share(last.accuracy)} of the training images were right in the last epoch; none was held out."
        )
    reached = epochs[best - 1].val_accuracy
    if len(epochs) == 1:
        return (
            f"One epoch: {share(last.accuracy)} of the training images were right while it ran, "
            f"{share(reached)} of the validation images after it."
        )
    end = "the last" if best == last.epoch else f"at the end {share(last.val_accuracy)}"
    return (
        f"Validation was best after epoch {best:,}, {share(reached)}; {end}. "
        f"Training images were {share(last.accuracy)} right while the last epoch ran."
    )


def loss_reading(epochs: Sequence[Epoch]) -> str:
    """Return the caption of the loss curves, which tells whether the network overfits."""
    held_out = [epoch.val_loss for epoch in epochs if epoch.val_loss is not None]
    if len(held_out) < 2:
        after = f", {fraction(held_out[0])} on validation images after it" if held_out else ""
        return f"{fraction(epochs[-1].loss)} nats on training images while the last epoch ran{after}."
    least = min(held_out)
    place = held_out.index(least) + 1
    if held_out[-1] <= 1.02 * least:
        return (
            f"Validation loss ends at {fraction(held_out[-1])} nats, within 2 % of its least: no overfitting."
        )
    risen = held_out[-1] / least - 1
    return (
        f"Validation loss was least after epoch {place:,}, {fraction(least)} nats, and is "
        f"{share(risen, 0)} above that at the end: the network begins to overfit."
    )


def _member_curves(record: RunRecord, epochs: Sequence[Epoch]) -> Iterator[Chart]:
    """Yield the accuracy curves of trained members, on validation images if any were held out."""
    rows = iter(epochs)
    all_members = (
        (str(number), list(itertools.islice(rows, member.epochs)))
        for number, member in enumerate(record.members, start=1)
    )
    trained = dict(itertools.islice(((name, found) for name, found in all_members if found), _MAX_MEMBERS))
    if not trained:
        return
    held_out = all(found[-1].val_accuracy is not None for found in trained.values())
    series = {
        name: [epoch.val_accuracy if held_out else epoch.accuracy for epoch in found]
        for name, found in trained.items()
    }
    ends = [values[-1] for values in series.values()]
    low, high = (choose(end for end in ends if end is not None) for choose in (min, max))
    whole, some = len(record.members), len(trained)
    members = "The members" if some == whole else f"{some} of {whole} members"
    yield curves(
        series,
        name="accuracy",
        title="Accuracy by epoch and member",
        reading=f"{members} end between {share(low)} and {share(high)} of the "
        f"{'validation' if held_out else 'training'} images right.",
        ylabel="answered right",
        shares=True,
    )


def _learning_rate(rates: Sequence[tuple[int, float]]) -> Chart:
    at, values = zip(*rates, strict=True)
    peak = max(values)
    top = at[values.index(peak)]
    reading = f"{fraction(peak)} in every step."
    if min(values) < peak:
        falls = f"falls to {fraction(values[-1])}."
        rises = f"rises from {fraction(values[0])} to {fraction(peak)} at step {thousands(top)}, then {falls}"
        reading = f"It {rises if top else falls}"
    return curves(
        {"learning rate": values},
        at=at,
        name="learning_rate",
        title="Learning rate by step",
        reading=reading,
        xlabel="step",
        ylabel="learning rate",
    )


def _classes(counts: Mapping[str, Sequence[int]]) -> Chart:
    train = counts["train"]
    least, most = min(train), max(train)
    if least == most:
        reading = f"Every digit has {thousands(most)} training images."
    elif least:
        reading = (
            f"The rarest digit, {train.index(least)}, has {thousands(least)} training images, "
            f"the most frequent, {train.index(most)}, {thousands(most)}."
        )
    else:
        reading = f"There are no training images of {train.index(least)}: it is never answered."
    return bars_side_by_side(
        {name: [count / max(1, sum(found)) for count in found] for name, found in counts.items()},
        name="class_distribution",
        title="Share of each digit",
        reading=reading,
    )
