import types

import numpy as np
import pytest

from benchmarks import ray_data


class Ray:
    """Fails to start so often."""

    def __init__(self, *errors: str) -> None:
        self.errors = list(errors)
        self.stopped = 0

    def init(self, **_: object) -> None:
        if self.errors:
            raise Exception(self.errors.pop(0))

    def shutdown(self) -> None:
        self.stopped += 1


SLOW = "The current node timed out during startup. This could happen because"


def test_a_slow_start_is_tried_again() -> None:
    ray = Ray(SLOW, SLOW)
    ray_data.start(ray)
    assert ray.stopped == 2


def test_it_is_not_tried_for_ever() -> None:
    ray = Ray(SLOW, SLOW, SLOW)
    with pytest.raises(Exception, match="timed out during startup"):
        ray_data.start(ray)
    assert ray.stopped == 2


def test_any_other_error_is_one() -> None:
    ray = Ray("no such resource")
    with pytest.raises(Exception, match="no such resource"):
        ray_data.start(ray)
    assert not ray.stopped


def test_a_batch_is_answered_row_by_row() -> None:
    classifier = ray_data.Classifier.__new__(ray_data.Classifier)
    probabilities = np.array([[0.1, 0.9], [0.8, 0.2]], np.float32)
    classifier.model = types.SimpleNamespace(predict_on_batch=lambda _: probabilities)
    rows = classifier({"image": np.zeros((2, 28, 28), np.uint8), "path": np.array(["a", "b"])})
    assert rows["image"].tolist() == ["a", "b"]
    assert rows["digit"].tolist() == [1, 0]
    assert rows["confidence"].tolist() == pytest.approx([0.9, 0.8])
