import dataclasses
import json

import pytest

from schemas.model import bundle
from schemas.model.accuracy import Accuracy
from schemas.model.data_source import DataSource
from schemas.model.model_card import HISTOGRAM_BINS, ExportedFormat, ModelCard
from tests.schemas.model.test_trust import WORTH

CARD = ModelCard(
    recipe="cnn",
    data="sample",
    data_digest="d",
    seed=1,
    epochs=2,
    batch=32,
    replicas=1,
    git_commit="",
    parameters=3,
    train_seconds=1.5,
    test_accuracy=Accuracy(97, 100),
    test_loss=0.1,
    validation_accuracy=None,
    temperature=1.0,
    accept_threshold=0.9,
    class_counts=(1,) * 10,
    confidence_histogram=(1 / HISTOGRAM_BINS,) * HISTOGRAM_BINS,
    pixel_histogram=(1 / HISTOGRAM_BINS,) * HISTOGRAM_BINS,
    versions={"keras": "3"},
    files={"model.keras": "ab"},
)


FULL = dataclasses.replace(
    CARD,
    validation_accuracy=Accuracy(5, 6),
    overrides={"epochs": 3, "schedule": "one-cycle"},
    hardware={"processor": "x", "cores": 2},
    images_per_second=1234.5,
    command="digitmill train --recipe cnn",
    trust=WORTH,
    exports=(ExportedFormat("model.keras", 10, Accuracy(9, 10), 100.0, 0.0),),
    litert_model=bundle.LITERT_INT8_MODEL,
    not_digits=7,
    data_sources=(
        DataSource("sample", 5_000, "ab", "MNIST", "CC BY-SA 3.0", "LeCun"),
        DataSource("fonts:", 100, "cd", families={"train": ("A", "B"), "test": ()}),
    ),
)


def test_an_older_card_can_be_read() -> None:
    fields = json.loads(CARD.to_json())
    newer = (
        "overrides",
        "hardware",
        "images_per_second",
        "command",
        "trust",
        "exports",
        "litert_model",
        "not_digits",
        "data_sources",
    )
    for name in newer:
        del fields[name]
    assert ModelCard.from_json(json.dumps(fields)) == CARD


@pytest.mark.parametrize("card", [CARD, FULL])
def test_a_card_round_trips(card: ModelCard) -> None:
    assert ModelCard.from_json(card.to_json()) == card


def test_a_trust_section_of_an_earlier_version_can_be_read() -> None:
    fields = json.loads(FULL.to_json())
    del fields["trust"]["not_digits"], fields["trust"]["sources"]
    trust = ModelCard.from_json(json.dumps(fields)).trust
    assert trust == dataclasses.replace(FULL.trust, not_digits={}, sources={})


def test_the_json_has_the_interval() -> None:
    accuracy = json.loads(CARD.to_json())["test_accuracy"]
    assert accuracy == {
        "right": 97,
        "images": 100,
        "value": 0.97,
        "interval_95": list(CARD.test_accuracy.interval),
    }


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"temperature": 0.0}, "temperature is not positive"),
        ({"accept_threshold": 1.1}, r"in \[0, 1\]"),
        ({"class_counts": (1,)}, "1 entries, not 10"),
        ({"pixel_histogram": ()}, "0 bins, not 20"),
        ({"files": {"../model.keras": ""}}, r"outside the bundle: '\.\./model\.keras'"),
        ({"files": {"saved_model/../../x": ""}}, "outside the bundle"),
        ({"files": {"/model.keras": ""}}, "outside the bundle"),
        ({"litert_model": "other.tflite"}, r"model\.tflite or model_int8\.tflite"),
    ],
)
def test_an_inconsistent_card_is_refused(changes: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        dataclasses.replace(CARD, **changes)


@pytest.mark.parametrize(
    "text", ["", "null", "{}", '{"format": 1}', '{"format": 2}', '{"format": 1, "recipe": "x"}']
)
def test_a_damaged_card_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own errors have words of their own
        ModelCard.from_json(text)


@pytest.mark.parametrize("change", [{"trust": {}}, {"exports": [{}]}, {"exports": [{"name": "x"}]}])
def test_measures_with_other_fields_are_refused(change: dict) -> None:
    text = json.dumps(json.loads(FULL.to_json()) | change)
    with pytest.raises(ValueError, match="wrong fields for a model card"):
        ModelCard.from_json(text)


def test_the_json_has_the_intervals_of_formats() -> None:
    (row,) = json.loads(FULL.to_json())["exports"]
    assert row["accuracy"]["value"] == 0.9
    assert row["accuracy"]["interval_95"] == list(Accuracy(9, 10).interval)
