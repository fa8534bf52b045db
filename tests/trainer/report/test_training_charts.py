import dataclasses

import pytest

from digitmill.reports.charts.acceptance import Accepting
from schemas.model.trust import Coverage
from tests.trainer.report.histories import EPOCHS, UNVALIDATED
from trainer.report.record import Member, RunRecord
from trainer.report.training_charts import (
    accuracy_reading,
    confusion,
    coverage_points,
    draw_charts,
    loss_reading,
)
from trainer.run.history import Epoch


def names(record: RunRecord, epochs=EPOCHS, *, temperature: float = 0.8) -> list[str]:
    return [chart.name for chart in draw_charts(record, epochs, accept=0.9, temperature=temperature).charts()]


ALL = {"confusion", "coverage", "class_distribution", "reliability", "reliability_before", "predictions"}
CURVES = {"accuracy", "loss", "learning_rate"}


def test_a_run_has_every_chart_once(run_record: RunRecord) -> None:
    found = names(run_record)
    assert len(found) == len(set(found))
    assert set(found) == ALL | CURVES


def test_missing_data_is_not_drawn(run_record: RunRecord) -> None:
    bare = dataclasses.replace(run_record, learning_rates=(), random=())
    assert set(names(bare, (), temperature=1)) == ALL - {"reliability_before", "predictions"}


def test_curves_have_the_historys_numbers(run_record: RunRecord) -> None:
    drawn = {
        chart.name: chart for chart in draw_charts(run_record, EPOCHS, accept=0.9, temperature=1).charts()
    }
    assert drawn["accuracy"].header == ("epoch", "training", "validation")
    assert drawn["accuracy"].rows[1] == (2, "0.950000", "0.900000")
    assert drawn["loss"].rows[2] == (3, "0.333333", "0.300000")
    assert [row[0] for row in drawn["learning_rate"].rows] == [0, 5, 9]


def test_without_validation_only_training_is_drawn(run_record: RunRecord) -> None:
    drawn = {
        chart.name: chart
        for chart in draw_charts(run_record, UNVALIDATED, accept=0.9, temperature=1).charts()
    }
    assert drawn["accuracy"].header == ("epoch", "training")


def test_an_ensemble_has_a_curve_for_each_member_that_it_trained(run_record: RunRecord) -> None:
    members = tuple(Member("m", "cnn", seed, 9, 10, "", epochs) for seed, epochs in enumerate((2, 0, 1)))
    drawn = draw_charts(dataclasses.replace(run_record, members=members), EPOCHS, accept=0.9, temperature=1)
    curve = drawn.curves[0]
    assert (curve.name, curve.header) == ("accuracy", ("epoch", "1", "3"))
    assert curve.rows == ((1, "0.800000", "0.933333"), (2, "0.900000", ""))
    given = tuple(dataclasses.replace(member, epochs=0) for member in members)
    assert names(dataclasses.replace(run_record, members=given, learning_rates=()), (), temperature=1) == [
        "confusion",
        "coverage",
        "class_distribution",
        "reliability",
        "predictions",
    ]


def test_the_confusion_caption_names_the_most_frequent_mistake(run_record: RunRecord) -> None:
    found = confusion(run_record.answers["test"])
    assert found.chart.reading.startswith("11 of 103 test images are answered wrong; most often ")
    perfect = tuple(tuple(5 * (row == column) for column in range(10)) for row in range(10))
    right = dataclasses.replace(run_record.answers["test"], confusion=perfect)
    assert confusion(right).chart.reading == "All 50 test images are answered right."


def test_the_coverage_curve_starts_at_the_highest_threshold_that_accepts_all() -> None:
    rows = [Coverage(step / 10, 10 - max(0, step - 3), 10 - max(0, step - 3), 10) for step in range(10)]
    found = coverage_points(rows, accept=0.9)
    assert [row.threshold for row in found] == [step / 10 for step in range(3, 10)]
    assert isinstance(found[0], Accepting)
    assert (found[0].accepted, found[0].accuracy) == (10, 1)
    # The one in force is always there.
    assert coverage_points(rows, accept=0.1)[0].threshold == 0.1


def epoch(number: int, val_loss: float | None, val_accuracy: float | None = 0.9) -> Epoch:
    return Epoch(number, 0.5, 0.8, val_loss, val_accuracy if val_loss is not None else None, 1.0, 1.0)


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([0.5, 0.2, 0.2], "no overfitting"),
        ([0.5, 0.2, 0.4], "least after epoch 2, 0.2 nats, and is 100\xa0% above"),
        ([0.5], "0.5 on validation images"),
        ([None, None], "0.5 nats on training images"),
    ],
)
def test_the_loss_caption_says_whether_the_network_overfits(losses, said: str) -> None:
    assert said in loss_reading([epoch(n, loss) for n, loss in enumerate(losses, start=1)])


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        ([0.7, 0.9, 0.8], "best after epoch 2, 90.00\xa0%; at the end 80.00\xa0%"),
        ([0.7, 0.9], "best after epoch 2, 90.00\xa0%; the last"),
        ([0.7], "One epoch: 80.00\xa0%"),
    ],
)
def test_the_accuracy_caption_names_the_best_epoch(accuracies, said: str) -> None:
    assert said in accuracy_reading([epoch(n, 0.5, found) for n, found in enumerate(accuracies, start=1)])


def test_without_validation_the_caption_says_so() -> None:
    assert "none was held out" in accuracy_reading(UNVALIDATED)
