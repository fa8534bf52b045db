import itertools

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes

from trainer.tuning import plots
from trainer.tuning.trial_results import Trial

NAMES = ["learning_rate", "batch", "batch_norm"]


def trials(*accuracies: float | None) -> list[Trial]:
    states = itertools.cycle(["complete", "complete", "pruned"])
    return [
        Trial(
            number,
            "failed" if accuracy is None else next(states),
            {
                "learning_rate": 10.0**-number,
                "batch": (64, 256, 32)[number % 3],
                "batch_norm": number % 2 == 0,
            },
            accuracy,
            None if accuracy is None else 0.3,
            epochs=2,
            seconds=1.0,
        )
        for number, accuracy in enumerate(accuracies, start=1)
    ]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Axes]:
    """The axes of the picture that is drawn last, by their title."""
    axes: dict[str, Axes] = {}
    entitle = Axes.set_title

    def noted(self, label, *arguments, **more):
        axes[label] = self
        return entitle(self, label, *arguments, **more)

    monkeypatch.setattr(Axes, "set_title", noted)
    return axes


def points(axes: Axes) -> list[tuple[float, float]]:
    return [tuple(point) for group in axes.collections for point in np.asarray(group.get_offsets())]


@pytest.mark.slow
@pytest.mark.parametrize(
    "found", [trials(0.9, 0.92, 0.91, 0.2), trials(0.9), trials(None), trials(None, 0.5), []]
)
def test_whatever_was_found_is_a_picture(found):
    image = cv2.imdecode(np.frombuffer(plots.draw(found, NAMES), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[0] > 300


@pytest.mark.slow
def test_choices_stand_in_their_order_and_every_setting_has_axes(drawn):
    plots.draw(trials(0.9, 0.92, 0.91, 0.93), NAMES)
    assert set(drawn) == {"Validation accuracy by trial", "learning rate", "batch", "batch norm"}
    assert [label.get_text() for label in drawn["batch"].get_xticklabels()] == ["32", "64", "256"]
    assert [label.get_text() for label in drawn["batch norm"].get_xticklabels()] == ["False", "True"]
    assert drawn["learning rate"].get_xscale() == "log"
    # The first trial has a batch of 256, which is the third choice.
    assert (2, 0.9) in points(drawn["batch"])


@pytest.mark.slow
def test_one_that_learned_nothing_does_not_press_the_others_together(drawn):
    found = trials(0.98, 0.99, 0.985, 0.1, 0.97)
    plots.draw(found, NAMES)
    low, _ = drawn["Validation accuracy by trial"].get_ylim()
    assert low > 0.9
    # It stands on the lower edge, and the legend says so.
    assert (4, pytest.approx(plots.lowest(found))) in points(drawn["Validation accuracy by trial"])
    labels = drawn["Validation accuracy by trial"].get_legend_handles_labels()[1]
    assert any("below 9" in label for label in labels)


@pytest.mark.parametrize("found", [trials(0.9, 0.92, 0.91), trials(0.9, 0.9), trials(None), []])
def test_others_are_shown_as_they_are(found):
    assert plots.lowest(found) is None


@pytest.mark.slow
def test_the_best_has_a_ring_everywhere(drawn):
    plots.draw(trials(0.9, 0.95, 0.91), NAMES)
    for title, axes in drawn.items():
        (ring,) = (group for group in axes.collections if group.get_label() == "the best")
        assert np.asarray(ring.get_offsets())[0][1] == pytest.approx(0.95), title
