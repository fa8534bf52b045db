import json
import pathlib

import numpy as np
import pytest

from benchmarks import drift, drift_page
from digitmill.default_model import SHIPPED_MODEL
from digitmill.engines.bundle_loader import open_bundle
from pipelines.report.drift import LARGE, MEASURE_NAMES, MODERATE, Distributions, DriftComparison, Shift
from schemas.model.ink_counts import UPPER_BOUNDS
from trainer.data.sources import embedded_sample


@pytest.fixture(scope="module")
def card() -> Distributions:
    return Distributions.from_card(open_bundle(SHIPPED_MODEL).card)


def test_the_shipped_model_has_a_reference_of_ink(card: Distributions) -> None:
    assert card.ink.images == card.images


def test_what_is_drawn_has_the_shares_that_it_is_drawn_from(card: Distributions) -> None:
    drawn = drift.draw(drift.histograms(card), 10**6, np.random.default_rng(0))
    for measure, shares in drift.histograms(card).items():
        assert drift.histograms(drawn)[measure] == pytest.approx(shares, abs=0.003)
    assert drawn.images == drawn.ink.images == 10**6


def test_digits_are_described_as_a_run_describes_them() -> None:
    digits = embedded_sample.digits().test.images[:200]
    found = drift.describe(digits, open_bundle(SHIPPED_MODEL).load())
    assert found.images == found.ink.images == sum(found.digits) == sum(found.confidences) == 200
    assert sum(found.gray_levels) == 200 * 784


def test_a_hundred_images_of_the_embedded_sample_are_no_shift(card: Distributions) -> None:
    digits = embedded_sample.digits().test.images[::5]  # every digit
    found = drift.describe(digits, open_bundle(SHIPPED_MODEL).load())
    assert found.images == 100
    assert not DriftComparison.of(found, card, name="the training set").figure


@pytest.mark.slow
def test_the_shape_of_the_ink_tells_other_digits_from_the_sample(card: Distributions) -> None:
    engine, ink = open_bundle(SHIPPED_MODEL).load(), {}
    for name, digits in drift.sources(1_000):
        compared = DriftComparison.of(drift.describe(digits, engine), card, name="the training set")
        shapes = [each for each in compared.drifts if each.measure in UPPER_BOUNDS]
        ink[name] = max(shapes, key=lambda each: each.index or 0)
        if name == "seven-segment displays":
            (confidence,) = (each for each in compared.drifts if each.measure == "confidences")
            # The model is surer of them than of what it was trained on.
            assert confidence.shift is not Shift.LARGE
    sample = ink.pop("the embedded sample, as it is")
    assert (sample.index or 0) < MODERATE
    for name in ("seven-segment displays", "the same, out of focus"):
        assert ink[name].shift is Shift.LARGE
        assert (ink[name].index or 0) > 2 * LARGE
    assert ink["windows of meters"].shift in (Shift.MODERATE, Shift.LARGE)


@pytest.mark.slow
def test_five_percent_out_of_focus_are_seen_in_two_thousand_images(card: Distributions) -> None:
    others = dict(drift.sources(500))
    found = drift.describe(others["the same, out of focus"], open_bundle(SHIPPED_MODEL).load())
    row = drift.power(card, "out of focus", found, share=0.05, runs=100)
    assert row["shifts"] >= 90


FOUND = {
    "recipe": "cnn",
    "training_images": 1_000,
    "alone": [
        {"source": "blurred", "images": 50, "figure": 0.5, "measures": dict.fromkeys(MEASURE_NAMES, 0.5)},
    ],
    "power": [
        {"source": "blurred", "share": share, "runs": 10, "shifts": 9, "figure": 0.02} for share in (0.05, 1)
    ],
    "false_alarms": [{"images": 10, "runs": 200, "shifts": 1}],
}


def test_the_tables_say_what_was_simulated(tmp_path: pathlib.Path) -> None:
    path = tmp_path / drift_page.FILE
    assert drift_page.blocks(path) == {}
    path.write_text(json.dumps(FOUND))
    text = drift_page.blocks(path)["drift"]
    assert "| 10 | 200 | 0.50 % | 0.09 % to 2.78 % |" in text
    assert "| blurred | 90% (0.02) | 90% (0.02) |" in text
    assert "| source | images | predicted digits | confidence |" in text
