import dataclasses
import json

import pytest

from schemas.model.trust import Calibration, Coverage, Guarantee, NotDigits, SourceTrust, Trust, Unfamiliar
from schemas.versioned import decode

WORTH = Trust(
    uncalibrated=Calibration(0.3, 0.02, 0.1),
    validation=Calibration(0.2, 0.01, 0.1),
    test=Calibration(0.25, 0.015, 0.1),
    target_accuracy=0.999,
    accepted=Coverage(0.97, 90, 89, 100),
    accepted_test=Coverage(0.97, 80, 80, 100),
    coverage=(Coverage(0.5, 100, 95, 100), Coverage(0.9, 90, 89, 100)),
    unfamiliar={"letters": Unfamiliar(500, 0, 12)},
    not_digits={"test": NotDigits(20, 3)},
    sources={
        "test": {
            "folder:meters": SourceTrust(40, 38, 20, 20, NotDigits(0, 0)),
            "folder:letters": SourceTrust(0, 0, 0, 0, NotDigits(20, 3)),
        }
    },
    guarantee=Guarantee(0.999, 0.05, 0.97, 8_000, 7_000, 2, 0.0009, 500),
)


@pytest.mark.parametrize(
    "worth",
    [
        WORTH,
        dataclasses.replace(WORTH, uncalibrated=None, validation=None, accepted=None, target_accuracy=None),
        dataclasses.replace(WORTH, coverage=(), unfamiliar={}),
    ],
)
def test_it_round_trips(worth: Trust) -> None:
    fields = json.loads(json.dumps(dataclasses.asdict(worth)))
    assert decode(Trust, fields, what="trust") == worth


@pytest.mark.parametrize("change", [{"more": 1}, {"test": {"ece": 1}}, {"coverage": [{}]}])
def test_unknown_fields_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="wrong fields"):
        decode(Trust, dataclasses.asdict(WORTH) | change, what="trust")


def test_shares_are_of_all_images_and_accuracy_of_the_accepted() -> None:
    assert (WORTH.accepted.coverage, WORTH.accepted.accuracy) == (0.9, 89 / 90)
    assert WORTH.guarantee.coverage == 0.875
    assert Coverage(1, 0, 0, 10).accuracy == 1
    assert Unfamiliar(500, 100, 50).share == 0.1
    assert (NotDigits(20, 3).share, NotDigits(0, 0).share) == (0.15, 0)
    meters = WORTH.sources["test"]["folder:meters"]
    assert (meters.accuracy, meters.coverage, meters.accepted_accuracy) == (0.95, 0.5, 1)
