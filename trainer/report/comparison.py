"""Compares several runs on one page: which is better, by how much, and which settings differ."""

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
from digitmill.reports.numbers import NONE, Cell, count_cell, duration, fraction, share, share_cell, thousands
from trainer.report import paired_test
from trainer.report.paired_test import PairedTest, against_best, unpack_right
from trainer.report.record import Matrix, Value
from trainer.report.training_page import FinishedRun
from trainer.report.training_tables import setting

MAX_RUNS: Final = 8
"""Maximum number of runs in a comparison, which colors and dashes can distinguish."""

RUN_COLUMNS: Final = (
    "Run", "Recipe", "Test accuracy", "Wrong", "Test loss", "ECE", "Accepted",
    "Of these right", "Parameters", "Epochs", "Time",
)  # fmt: skip

Runs = Mapping[str, FinishedRun]
"""Runs by letter, because folder names can be long or equal."""


def by_letter(runs: Sequence[FinishedRun]) -> dict[str, FinishedRun]:
    """Return the runs by letter, starting with `A`."""
    return dict(zip(string.ascii_uppercase, runs, strict=False))


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The result of a comparison, and whether all runs were tested on the same images.

    Attributes:
        tests: tests of the best run against each other run, by letter of the other; empty if a run has no
            record of which images it gets right.
    """

    text: str
    comparable: bool
    tests: Mapping[str, PairedTest] = dataclasses.field(default_factory=dict)


def render_comparison(runs: Runs, *, to: str | None = None) -> tuple[str, list[Chart]]:
    """Return the page's HTML, with all texts escaped, and its charts; `to` is the requested folder."""
    found, reached = verdict(runs), {letter: run.card.test_accuracy for letter, run in runs.items()}
    drawn, differences = list(_curves(runs)), list(_differences(runs)) if found.comparable else []
    judged = intervals(reached, name="intervals", title="Test accuracy", reading="Bars are 95 % intervals.")
    commands = {
        f"To train {letter} again": run.card.command for letter, run in runs.items() if run.card.command
    }
    again = shlex.join(
        ["digitmill", "report", *(run.place for run in runs.values()), *(["--to", to] if to else [])]
    )
    page = render(
        "trainer.report",
        "comparison.html",
        runs=runs,
        verdict=found,
        names=dict(zip(runs, short_names([run.place for run in runs.values()]), strict=True)),
        paired=[
            paired_test.HEADER,
            *(test.row(best_run(runs), letter) for letter, test in found.tests.items()),
        ],
        comparisons=max((test.comparisons for test in found.tests.values()), default=1),
        intervals=judged,
        curves=drawn,
        left_out=[letter for letter, run in runs.items() if is_ensemble(run)],
        differences=differences,
        run_columns=RUN_COLUMNS,
        cells=[
            list(_cells(f"{letter}: {name}", run))
            for (letter, run), name in zip(
                runs.items(), short_names([run.place for run in runs.values()]), strict=True
            )
        ],
        settings=list(differing_settings(runs)),
        equal_settings=num_equal_settings(runs),
        commands={**commands, "To make this page again": again},
    )
    return page, [judged, *drawn, *(found.chart for found in differences)]


def is_ensemble(run: FinishedRun) -> bool:
    """Whether a run trained an ensemble."""
    return bool(run.record.members) if run.record else "members" in run.card.overrides


def verdict(runs: Runs) -> Verdict:
    """Return which run is best on the test images, and whether the difference could be chance."""
    comparable = len({(run.card.data_digest, run.card.test_accuracy.images) for run in runs.values()}) == 1
    best = best_run(runs)
    reached = runs[best].card.test_accuracy
    text = f"{best} is best: {share(reached.value)}."
    if not comparable:
        other = "These runs had other images, so that their accuracies cannot be held against each other."
        return Verdict(f"{other} {text}", comparable)
    if tests := _paired_tests(runs, best):
        return Verdict(f"{text} {_beyond_chance(tests)}", comparable, tests)
    near = [
        letter
        for letter, run in runs.items()
        if letter != best and overlapping(run.card.test_accuracy, reached)
    ]
    if near:
        text += (
            f" Its interval overlaps {'that' if len(near) == 1 else 'those'} of {_listed(near)}: on "
            f"{thousands(reached.images)} test images such a difference may be chance."
        )
    else:
        text += " Its interval overlaps none of the others': that is hardly chance."
    return Verdict(text, comparable)


def best_run(runs: Runs) -> str:
    """Return the letter of the run with the highest test accuracy."""
    return max(runs, key=lambda letter: runs[letter].card.test_accuracy.value)


def _paired_tests(runs: Runs, best: str) -> dict[str, PairedTest]:
    if not all(run.record and run.record.right_by_pixels for run in runs.values()):
        return {}
    right = {
        letter: unpack_right(run.record.right_by_pixels, run.record.answers["test"].images)
        for letter, run in runs.items()
        if run.record
    }
    same = len({len(found) for found in right.values()}) == 1
    return against_best(right, best) if same else {}


def _beyond_chance(tests: Mapping[str, PairedTest]) -> str:
    """Return a sentence on which other runs are significantly worse."""
    worse = [letter for letter, test in tests.items() if test.significant]
    near = [letter for letter in tests if letter not in worse]
    how = "on the same images, by McNemar’s exact test"
    if not near:
        return f"It is better than {_listed(worse)} beyond chance, {how}."
    may = f"its difference from {_listed(near)} may be chance"
    if not worse:
        return f"{may[0].upper()}{may[1:]}, {how}."
    return f"It is better than {_listed(worse)} beyond chance; {may}, {how}."


def short_names(places: Sequence[str]) -> list[str]:
    """Return the shortest ends of paths that distinguish them: `a/run` and `b/run`."""
    parts = [place.rstrip("/").split("/") for place in places]
    longest = max(map(len, parts))
    for length in range(1, longest + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(set(places)):
            break
    return names


def differing_settings(runs: Runs) -> Iterator[tuple[str, list[str]]]:
    """Yield the settings that differ between runs, with each run's value."""
    for name, values in _settings(runs).items():
        if len(set(map(repr, values))) > 1:
            yield name.replace("_", " "), [setting(value) for value in values]


def num_equal_settings(runs: Runs) -> int:
    """Return the number of settings with the same value in all runs."""
    return len(_settings(runs)) - sum(1 for _ in differing_settings(runs))


def _settings(runs: Runs) -> dict[str, list[Value]]:
    """Return the settings that all runs have, with each run's value."""
    settings = [_settings_of_run(run) for run in runs.values()]
    first, *others = settings
    return {
        name: [found[name] for found in settings] for name in first if all(name in found for found in others)
    }


def _settings_of_run(run: FinishedRun) -> dict[str, Value]:
    card = run.card
    stated: dict[str, Value] = {
        "recipe": card.recipe,
        "data": card.data,
        "data_digest": card.data_digest[:12],
        "seed": card.seed,
        # As planned: --patience may have ended one earlier.
        "epochs": run.record.settings.get("epochs", card.epochs) if run.record else card.epochs,
        "batch": card.batch,
        "replicas": card.replicas,
        "members": card.overrides.get("members"),
        "temperature": round(card.temperature, 4),
        "accept_threshold": round(card.accept_threshold, 6),
        "commit": card.git_commit[:12],
        "processor": card.hardware.get("processor"),
    }
    return {**(run.record.settings if run.record else {}), **stated}


def _cells(name: str, run: FinishedRun) -> Iterator[Cell]:
    card, trust = run.card, run.card.trust
    measured = card.test_accuracy
    accepted = trust.accepted_test if trust else None
    yield name, None
    yield card.recipe, None
    yield share_cell(measured.value)
    yield count_cell(measured.images - measured.right)
    yield f"{card.test_loss:.4f}", card.test_loss
    yield (f"{trust.test.ece:.4f}", trust.test.ece) if trust else (NONE, None)
    yield share_cell(accepted.coverage if accepted else None)
    yield share_cell(accepted.accuracy if accepted else None)
    yield count_cell(card.parameters)
    yield count_cell(len(run.epochs) or card.epochs)
    yield duration(card.train_seconds), card.train_seconds


def _curves(runs: Runs) -> Iterator[Chart]:
    histories = {letter: run.epochs for letter, run in runs.items() if run.epochs and not is_ensemble(run)}
    if not histories:
        return
    held_out = all(epochs[-1].val_accuracy is not None for epochs in histories.values())
    which, prefix = ("validation", "val_") if held_out else ("training", "")
    accuracy, loss = (
        {letter: [getattr(epoch, prefix + name) for epoch in epochs] for letter, epochs in histories.items()}
        for name in ("accuracy", "loss")
    )
    highest = max(histories, key=lambda letter: accuracy[letter][-1] or 0.0)
    lowest = min(histories, key=lambda letter: loss[letter][-1] or 0.0)
    yield curves(
        accuracy,
        name="accuracy",
        title=f"{which.capitalize()} accuracy by epoch",
        reading=f"{highest} ends highest, at {share(accuracy[highest][-1])} of its {which} images.",
        ylabel=f"{which} images right",
        shares=True,
    )
    yield curves(
        loss,
        name="loss",
        title=f"{which.capitalize()} loss by epoch",
        reading=f"{lowest} ends lowest, at {fraction(loss[lowest][-1])} nats."
        + ("" if held_out else " Smoothed and taught labels make training losses of another size."),
        ylabel="cross-entropy, nats",
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
    """Return the caption of a difference: how many more images are right, and the largest change."""
    gained = sum(there[digit][digit] - here[digit][digit] for digit in range(len(here)))
    many = "as many" if not gained else f"{thousands(abs(gained))} {'more' if gained > 0 else 'fewer'}"
    text = f"{letter} answers {many} test images right {'as' if not gained else 'than'} {first}."
    moved = [
        (there[true][digit] - count, true, digit)
        for true, row in enumerate(here)
        for digit, count in enumerate(row)
        if true != digit and there[true][digit] != count
    ]
    if not moved:
        return text
    change, true, digit = max(moved, key=lambda found: abs(found[0]))
    how = "more" if change > 0 else "fewer"
    return f"{text} The greatest change: {true} taken for {digit}, {thousands(abs(change))} {how}."


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
