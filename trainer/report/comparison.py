"""Several runs in one page: who is better, by how much, and what was done otherwise."""

import dataclasses
import shlex
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from digitmill.reports.charts.chart import Chart
from digitmill.reports.charts.curves import curves
from digitmill.reports.charts.differences import Difference, difference
from digitmill.reports.charts.intervals import intervals, overlapping
from digitmill.reports.html_page import render
from digitmill.reports.numbers import NONE, duration, fraction, share, thousands
from schemas.model.accuracy import Accuracy
from trainer.report.record import Matrix, Value
from trainer.report.training_page import FinishedRun
from trainer.report.training_tables import Cell, Columns, setting
from trainer.run.history import Epoch

MOST: Final = 8
"""Runs in one comparison: as many as colours and dashes tell apart."""

RUN_COLUMNS: Final[Columns] = [
    (title, title not in ("Run", "Recipe"))
    for title in (
        "Run", "Recipe", "Test accuracy", "Wrong", "Test loss", "ECE", "Accepted",
        "Of these right", "Parameters", "Epochs", "Time",
    )
]  # fmt: skip

Runs = Mapping[str, FinishedRun]
"""By letter: a folder's name may be as long as it likes, and two runs may share one."""


def letters(runs: Sequence[FinishedRun]) -> dict[str, FinishedRun]:
    """Returns runs by a letter, `A` the first."""
    return dict(zip(string.ascii_uppercase, runs, strict=False))


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a comparison comes to.

    Attributes:
        said: one or two sentences.
        comparable: whether all runs were tested on the same images.
    """

    said: str
    comparable: bool


def render_comparison(runs: Runs) -> tuple[str, list[Chart]]:
    """Returns the page's HTML, in which everything is escaped, and the charts in it."""
    found, reached = verdict(runs), accuracies(runs)
    drawn, differences = list(_curves(runs)), list(_differences(runs)) if found.comparable else []
    judged = intervals(reached, name="intervals", title="Test accuracy", reading="Bars are 95 % intervals.")
    page = render(
        "trainer.report",
        "comparison.html",
        runs=runs,
        verdict=found,
        intervals=judged,
        curves=drawn,
        left_out=[letter for letter, run in runs.items() if is_ensemble(run)],
        differences=differences,
        run_columns=RUN_COLUMNS,
        cells=[list(_cells(letter, run)) for letter, run in runs.items()],
        settings=list(differing(runs)),
        alike=alike(runs),
        commands={
            **{
                f"To train {letter} again": run.card.command
                for letter, run in runs.items()
                if run.card.command
            },
            "To make this page again": shlex.join(
                ["digitmill", "report", *(run.place for run in runs.values())]
            ),
        },
    )
    return page, [judged, *drawn, *(found.chart for found in differences)]


def accuracies(runs: Runs) -> dict[str, Accuracy]:
    """Returns the test accuracies, by letter."""
    return {letter: run.card.test_accuracy for letter, run in runs.items()}


def is_ensemble(run: FinishedRun) -> bool:
    """Whether a run's history is that of several networks, one after the other."""
    return bool(run.record.members) if run.record else "members" in run.card.overrides


def verdict(runs: Runs) -> Verdict:
    """Returns which run is best on its test images, and whether that may be chance."""
    comparable = len({(run.card.data_digest, run.card.test_accuracy.images) for run in runs.values()}) == 1
    best = max(runs, key=lambda letter: runs[letter].card.test_accuracy.value)
    reached = runs[best].card.test_accuracy
    said = f"{best} is best: {share(reached.value)}."
    if not comparable:
        other = "These runs had other images, so that their accuracies cannot be held against each other."
        return Verdict(f"{other} {said}", comparable)
    near = [
        letter
        for letter, run in runs.items()
        if letter != best and overlapping(run.card.test_accuracy, reached)
    ]
    if near:
        said += (
            f" Its interval overlaps {'that' if len(near) == 1 else 'those'} of {_listed(near)}: on "
            f"{thousands(reached.images)} test images such a difference may be chance."
        )
    else:
        said += " Its interval overlaps none of the others': that is hardly chance."
    return Verdict(said, comparable)


def differing(runs: Runs) -> Iterator[tuple[str, list[str]]]:
    """Yields the settings that are not the same in all runs, and their values in the runs' order."""
    for name, values in _settings(runs).items():
        if len(set(map(repr, values))) > 1:
            yield name.replace("_", " "), [setting(value) for value in values]


def alike(runs: Runs) -> int:
    """Returns how many settings are the same in all runs."""
    return len(_settings(runs)) - sum(1 for _ in differing(runs))


def _settings(runs: Runs) -> dict[str, list[Value]]:
    """Returns the settings that are known of every run, with each one's value."""
    described = [_described(run) for run in runs.values()]
    first, *others = described
    return {
        name: [found[name] for found in described] for name in first if all(name in found for found in others)
    }


def _described(run: FinishedRun) -> dict[str, Value]:
    card = run.card
    stated: dict[str, Value] = {
        "recipe": card.recipe,
        "data": card.data,
        "data_digest": card.data_digest[:12],
        "seed": card.seed,
        "epochs": card.epochs,
        "batch": card.batch,
        "replicas": card.replicas,
        "members": card.overrides.get("members"),
        "temperature": round(card.temperature, 4),
        "accept_threshold": round(card.accept_threshold, 6),
        "commit": card.git_commit[:12],
        "processor": card.hardware.get("processor"),
    }
    return {**(run.record.settings if run.record else {}), **stated}


def _cells(letter: str, run: FinishedRun) -> Iterator[Cell]:
    card, worth = run.card, run.card.trust
    measured = card.test_accuracy
    accepted = worth.accepted_test if worth else None
    yield f"{letter}: {run.place.rstrip('/').rpartition('/')[2]}", None
    yield card.recipe, None
    yield share(measured.value), measured.value
    yield thousands(measured.images - measured.right), measured.images - measured.right
    yield f"{card.test_loss:.4f}", card.test_loss
    yield (f"{worth.test.ece:.4f}", worth.test.ece) if worth else (NONE, None)
    yield (share(accepted.coverage), accepted.coverage) if accepted else (NONE, None)
    yield (share(accepted.accuracy), accepted.accuracy) if accepted else (NONE, None)
    yield thousands(card.parameters), card.parameters
    yield thousands(len(run.epochs) or card.epochs), len(run.epochs) or card.epochs
    yield duration(card.train_seconds), card.train_seconds


def _curves(runs: Runs) -> Iterator[Chart]:
    shown = {letter: run.epochs for letter, run in runs.items() if run.epochs and not is_ensemble(run)}
    if not shown:
        return
    held_out = all(epochs[-1].val_accuracy is not None for epochs in shown.values())
    which = "validation" if held_out else "training"
    ends = {letter: _accuracy(epochs[-1], held_out=held_out) for letter, epochs in shown.items()}
    ahead = max(ends, key=lambda letter: ends[letter] or 0.0)
    yield _by_epoch(
        {
            letter: [_accuracy(epoch, held_out=held_out) for epoch in epochs]
            for letter, epochs in shown.items()
        },
        name="accuracy",
        title=f"{which.capitalize()} accuracy by epoch",
        reading=f"{ahead} ends highest, at {share(ends[ahead])} of its {which} images.",
        ylabel=f"{which} images right",
        shares=True,
    )
    losses = {
        letter: [epoch.val_loss if held_out else epoch.loss for epoch in epochs]
        for letter, epochs in shown.items()
    }
    least = min(losses, key=lambda letter: losses[letter][-1] or 0.0)
    yield _by_epoch(
        losses,
        name="loss",
        title=f"{which.capitalize()} loss by epoch",
        reading=f"{least} ends lowest, at {fraction(losses[least][-1])} nats."
        + ("" if held_out else " Smoothed and taught labels make training losses of another size."),
        ylabel="cross-entropy, nats",
        shares=False,
    )


def _accuracy(epoch: Epoch, *, held_out: bool) -> float | None:
    return epoch.val_accuracy if held_out else epoch.accuracy


def _by_epoch(
    series: Mapping[str, Sequence[float | None]],
    *,
    name: str,
    title: str,
    reading: str,
    ylabel: str,
    shares: bool,
) -> Chart:
    longest = max(map(len, series.values()))
    return curves(
        {letter: [*values, *[None] * (longest - len(values))] for letter, values in series.items()},
        at=range(1, longest + 1),
        name=name,
        title=title,
        reading=reading,
        ylabel=ylabel,
        shares=shares,
    )


def _differences(runs: Runs) -> Iterator[Difference]:
    (first, base), *others = runs.items()
    if base.record is None:
        return
    here = base.record.answers["test"]
    for letter, run in others:
        if run.record is not None:
            there = run.record.answers["test"]
            yield difference(
                here.confusion,
                there.confusion,
                name=f"difference_{letter.lower()}",
                title=f"{letter} against {first}",
                reading=_difference_reading(letter, first, here=here.confusion, there=there.confusion),
            )


def _difference_reading(letter: str, first: str, *, here: Matrix, there: Matrix) -> str:
    """Returns how many more are right, and which mistake became rarer or more frequent by most."""
    gained = sum(there[digit][digit] - here[digit][digit] for digit in range(len(here)))
    many = "as many" if not gained else f"{thousands(abs(gained))} {'more' if gained > 0 else 'fewer'}"
    said = f"{letter} answers {many} test images right {'as' if not gained else 'than'} {first}."
    moved = [
        (there[true][digit] - count, true, digit)
        for true, row in enumerate(here)
        for digit, count in enumerate(row)
        if true != digit and there[true][digit] != count
    ]
    if not moved:
        return said
    change, true, digit = max(moved, key=lambda found: abs(found[0]))
    how = "more" if change > 0 else "fewer"
    return f"{said} The greatest change: {true} taken for {digit}, {thousands(abs(change))} {how}."


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
