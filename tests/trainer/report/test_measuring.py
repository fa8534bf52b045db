import base64
import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.confidence import calibration
from digitmill.reports.charts.acceptance import expected_calibration_error
from digitmill.reports.gallery import inline_png
from trainer import recipes
from trainer.metrics.measures import Evaluation
from trainer.report import measuring
from trainer.report.paired_test import unpack_right
from trainer.report.record import RunRecord, SplitMetrics
from trainer.train_options import TrainOptions


def evaluations(least: int = 1):
    """Predictions on up to 40 images."""

    def build(rows: list[tuple[int, list[int]]]) -> Evaluation:
        raised = np.array([weights for _, weights in rows], np.float64) + 0.01
        probabilities = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
        return Evaluation.of(np.array([label for label, _ in rows], np.uint8), probabilities)

    weights = st.lists(st.integers(0, 99), min_size=10, max_size=10)
    return st.lists(st.tuples(st.integers(0, 9), weights), min_size=least, max_size=40).map(build)


@given(evaluations(), st.floats(0, 1))
def test_counts_agree_with_the_metrics(found: Evaluation, threshold: float) -> None:
    counted = measuring.split_metrics(found, found, threshold=threshold)
    assert (counted.images, counted.right) == (len(found.labels), found.accuracy.right)
    bins = counted.calibrated.bins
    assert sum(each.images for each in bins) == counted.images
    assert sum(each.right for each in bins) == counted.right
    # What the diagram says is what the calibration says.
    assert expected_calibration_error(bins) == pytest.approx(counted.calibrated.measured.ece)
    thresholds = [row.threshold for row in counted.coverage]
    assert thresholds == sorted(set(thresholds))
    assert counted.at(threshold).threshold == threshold
    accepted = [row.accepted for row in counted.coverage]
    assert accepted == sorted(accepted, reverse=True)
    assert accepted[0] == counted.images


def test_thresholds_are_round_and_close_near_one() -> None:
    assert {0.5, 0.9, 0.95, 0.999, 0.9999, 0.99999} <= set(measuring.THRESHOLDS)
    assert len(measuring.THRESHOLDS) < 150
    assert max(measuring.THRESHOLDS) < 1


def test_nine_test_images_are_drawn_by_lot_and_the_same_for_a_seed(record_of, few_digits) -> None:
    first, again, other = (record_of(options={"seed": seed}).random for seed in (3, 3, 4))
    assert first == again != other
    places = [shown.image for shown in first]
    assert len(places) == 9
    assert places == sorted(set(places))
    assert [shown.label for shown in first] == few_digits.test.labels[places].tolist()
    # The network has no say in it.
    assert [shown.image for shown in record_of(wrong_each=1).random] == places


def test_mistakes_are_sorted_by_confidence_and_limited(record_of, few_digits) -> None:
    record = record_of(wrong_each=2)
    assert len(record.mistaken) == measuring.MAX_MISTAKEN
    assert record.answers["test"].images - record.answers["test"].right > measuring.MAX_MISTAKEN
    confidences = [shown.confidence for shown in record.mistaken]
    assert confidences == sorted(confidences, reverse=True)
    for shown in record.mistaken:
        assert shown.digit == (shown.label + 1) % 10
        assert few_digits.test.labels[shown.image] == shown.label


def test_labels_are_doubted_in_the_splits_that_the_network_was_not_trained_on(record_of, few_digits) -> None:
    record = record_of(wrong_each=2)
    assert len(record.label_suspects) == measuring.MAX_SUSPECTS
    assert {shown.split for shown in record.label_suspects} == {"test", "validation"}
    splits = few_digits.splits()
    for shown in record.label_suspects:
        assert shown.digit == (shown.label + 1) % 10
        assert splits[shown.split].labels[shown.image] == shown.label
    errors = [shown.confidence >= record.self_confidence[shown.digit] for shown in record.label_suspects]
    assert errors == sorted(errors, reverse=True)
    assert RunRecord.from_json(record.to_json()) == record


def test_doubtful_images_are_sorted_by_confidence(run_record: RunRecord) -> None:
    confidences = [shown.confidence for shown in run_record.doubtful]
    assert confidences == sorted(confidences)
    assert len(confidences) == measuring.MAX_DOUBTFUL


def test_sample_images_are_the_test_images(run_record: RunRecord, few_digits) -> None:
    for shown in (*run_record.mistaken, *run_record.doubtful, *run_record.sample):
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(shown.png), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert (pixels == few_digits.test.images[shown.image]).all()
        assert shown.second_digit != shown.digit


def test_the_sample_has_some_of_each_digit(run_record: RunRecord) -> None:
    labels = [shown.label for shown in run_record.sample]
    assert labels == sorted(labels)
    assert {labels.count(digit) for digit in range(10)} == {measuring.MAX_SAMPLES}


def test_a_test_split_without_some_digits_has_no_sample_of_them(record_of, few_digits) -> None:
    ones = few_digits.test.take(few_digits.test.labels == 1)
    record = record_of(dataclasses.replace(few_digits, test=ones))
    assert {shown.label for shown in record.sample} == {1}


def test_without_validation_only_test_metrics_are_kept(record_of, few_digits) -> None:
    record = record_of(dataclasses.replace(few_digits, validation=None))
    assert set(record.answers) == {"test"}
    assert set(record.class_counts) == {"train", "test"}


def test_both_calibrations_are_kept(run_record: RunRecord, few_digits) -> None:
    found: SplitMetrics = run_record.answers["validation"]
    labels, sure = few_digits.validation.labels, found.uncalibrated.measured
    assert sure.log_loss != found.calibrated.measured.log_loss
    assert sum(each.images for each in found.uncalibrated.bins) == len(labels)
    assert len(found.uncalibrated.bins) == calibration.ECE_BINS


def test_settings_are_those_that_affect_the_network() -> None:
    options = TrainOptions(recipe="strong-cnn", data=("sample", "idx:x@2"), output="run", resume=True, seed=7)
    found = measuring.settings_of(options, recipes.load("strong-cnn"))
    assert (found["recipe"], found["data"], found["seed"]) == ("strong-cnn", "sample idx:x@2", 7)
    assert (found["epochs"], found["ema"], found["precision"]) == (20, 0.999, "mixed")
    assert found["augmentation"] == "rotation 15, shift 3, zoom 0.12, shear 0.15"
    assert not {"output", "resume", "cache_dir", "member"} & set(found)


def test_a_record_of_pictures_that_are_no_digit(record_of, with_not_digits, few_digits) -> None:
    record = record_of(with_not_digits)
    assert record.not_digits == {"train": 100, "validation": 25, "test": 25}
    assert record.class_counts == record_of().class_counts
    assert record.answers["test"].images == len(few_digits.test)
    shown = [*record.mistaken, *record.doubtful, *record.sample, *record.random]
    for each in shown:
        assert with_not_digits.test.labels[each.image] == each.label
        assert each.png == inline_png(with_not_digits.test.images[each.image])


def test_right_answers_are_in_an_order_of_their_own(few_digits) -> None:
    draw = np.random.default_rng(6)
    count = len(few_digits.test)
    probabilities = draw.dirichlet(np.ones(10), count).astype(np.float32)

    def right(order: np.ndarray) -> str:
        digits = dataclasses.replace(few_digits, test=few_digits.test.take(order))
        found = {"test": Evaluation.of(digits.test.labels, probabilities[order])}
        options = TrainOptions(recipe="dense-128", data="few", output="run")
        recipe = recipes.load("dense-128")
        made = measuring.record(options, recipe, digits, uncalibrated=found, calibrated=found, threshold=0.9)
        return made.right_by_pixels

    as_listed = right(np.arange(count))
    assert right(draw.permutation(count)) == as_listed
    num_right = int((probabilities.argmax(axis=1) == few_digits.test.labels).sum())
    assert unpack_right(as_listed, count).sum() == num_right > 0
