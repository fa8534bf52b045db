import dataclasses

import pytest

from schemas.model.accuracy import Accuracy
from schemas.model.model_card import ModelCard
from tests.trainer.report.histories import EPOCHS
from tests.trainer.report.test_record import MEMBER
from trainer.report.comparison import (
    by_letter,
    differing_settings,
    num_equal_settings,
    render_comparison,
    short_names,
    verdict,
)
from trainer.report.record import RunRecord
from trainer.report.training_page import FinishedRun


@pytest.fixture
def run(card: ModelCard, run_record: RunRecord):
    def make(*, record: RunRecord | None = run_record, epochs=EPOCHS, **changed: object) -> FinishedRun:
        return FinishedRun("runs/one", dataclasses.replace(card, **changed), tuple(epochs), record)

    return make


def test_without_answers_image_by_image_intervals_decide(run, run_record: RunRecord) -> None:
    # In the order of the source, which may be another one for each run.
    old = dataclasses.replace(run_record, right_by_pixels="", test_right=run_record.right_by_pixels)

    def of(*rights: int) -> dict[str, FinishedRun]:
        return by_letter([run(record=old, test_accuracy=Accuracy(right, 10_000)) for right in rights])

    near = of(9_960, 9_972, 9_900)
    found = verdict(near)
    assert found.comparable
    assert found.text.startswith(
        "B is best: 99.72\xa0%. Its interval overlaps that of A: on 10,000 test images"
    )
    clear = verdict(of(9_700, 9_972))
    assert clear.text.endswith("that is hardly chance.")


def test_other_images_cannot_be_compared(run) -> None:
    runs = by_letter([run(), run(data_digest="other")])
    assert not verdict(runs).comparable
    page, charts = render_comparison(runs)
    assert "cannot be held against each other" in page
    assert [chart.name for chart in charts] == ["intervals", "accuracy", "loss"]


def test_differing_settings_are_listed(run, record_of) -> None:
    other = record_of(options={"class_weights": "balanced"})
    runs = by_letter([run(), run(seed=5, record=other)])
    assert dict(differing_settings(runs)) == {"seed": ["1", "5"], "class weights": ["none", "balanced"]}
    assert num_equal_settings(runs) > 20
    assert dict(differing_settings(by_letter([run(), run()]))) == {}


def test_a_run_of_an_earlier_version_is_compared_by_its_card(run) -> None:
    runs = by_letter([run(), run(record=None, seed=9), run(trust=None, exports=(), record=None)])
    assert list(dict(differing_settings(runs))) == ["seed"]
    page, charts = render_comparison(runs)
    # Nothing to take from the confusion of the first.
    assert [chart.name for chart in charts] == ["intervals", "accuracy", "loss"]
    assert "runs/one" in page


def test_runs_of_other_lengths_share_their_curves(run) -> None:
    _, charts = render_comparison(by_letter([run(), run(epochs=EPOCHS[:1])]))
    accuracy = next(chart for chart in charts if chart.name == "accuracy")
    assert accuracy.header == ("epoch", "A", "B")
    assert accuracy.rows[1] == (2, "0.900000", "")


def test_ensembles_have_no_curve_of_their_own(run, run_record: RunRecord) -> None:
    ensemble = run(record=dataclasses.replace(run_record, members=(MEMBER,)))
    old = run(record=None, overrides={"members": 2})
    page, charts = render_comparison(by_letter([ensemble, old]))
    assert not {"accuracy", "loss"} & {chart.name for chart in charts}
    page, charts = render_comparison(by_letter([ensemble, run()]))
    assert "Without A" in page
    assert next(chart for chart in charts if chart.name == "accuracy").header == ("epoch", "B")


def test_the_confusion_difference_counts_the_changes(run, record_of) -> None:
    better = record_of(wrong_each=20)
    _, charts = render_comparison(by_letter([run(), run(record=better)]))
    found = next(chart for chart in charts if chart.name == "difference_b")
    assert found.reading.startswith("B answers 5 more test images right than A. The greatest change: ")
    assert sum(row[1 + number] for number, row in enumerate(found.rows)) == 5
    assert sum(sum(row[1:]) for row in found.rows) == 0


def test_a_run_against_itself_differs_in_nothing(run) -> None:
    page, charts = render_comparison(by_letter([run(), run()]))
    found = next(chart for chart in charts if chart.name == "difference_b")
    assert found.reading == "B answers as many test images right as A."
    assert "None: all" in page


def test_on_the_same_images_the_exact_test_decides(run, record_of) -> None:
    def of(wrong_each: int) -> FinishedRun:
        record = record_of(wrong_each=wrong_each)
        test = record.answers["test"]
        return run(record=record, test_accuracy=Accuracy(test.right, test.images))

    runs = by_letter([of(2), of(20), of(25)])
    found = verdict(runs)
    assert set(found.tests) == {"A", "B"}
    assert found.tests["A"].significant
    assert not found.tests["B"].significant
    assert "It is better than A beyond chance; its difference from B may be chance" in found.text
    page, _ = render_comparison(runs)
    assert "Beyond chance?" in page
    assert "C and A" in page
    assert "corrected for all 3 pairs of runs" in page


def test_the_command_to_make_it_again_has_its_folder(run) -> None:
    page, _ = render_comparison(by_letter([run(), run()]), to="side by side")
    assert "digitmill report runs/one runs/one --to &#39;side by side&#39;" in page


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["x/run", "x/other"], ["run", "other"]),
        (["a/run", "b/run/", "gs://bucket/b/more"], ["a/run", "b/run", "b/more"]),
        (["a/1/run", "b/1/run"], ["a/1/run", "b/1/run"]),
        (["run", "run"], ["run", "run"]),
        (["run", "a/run"], ["run", "a/run"]),
    ],
)
def test_runs_are_named_by_what_tells_them_apart(places: list[str], names: list[str]) -> None:
    assert short_names(places) == names
