import pytest

from pipelines.report.challenger_comparison import ChallengerComparison
from pipelines.statistics.agreement import Agreement

CELLS = (
    Agreement(1, 1, 50, labeled=40, right=38, challenger_right=38),
    Agreement(1, 7, 12, labeled=10, right=2, challenger_right=7),
    Agreement(2, -1, 3, labeled=3, right=1, challenger_right=0),
)


def test_labeled_images_are_counted_by_which_model_is_right() -> None:
    comparison = ChallengerComparison.of(CELLS)
    assert comparison == ChallengerComparison(both=38, model=3, challenger=7, neither=2 + 1 + 2)
    assert comparison.labeled == 53


@pytest.mark.parametrize(
    ("model", "challenger", "verdict"),
    [
        (1, 40, "the challenger wins 40 to 1: more than chance would give."),
        (40, 1, "the challenger loses 1 to 40: more than chance would give."),
        (5, 7, "it stands 7 to 5: it may be chance."),
        (0, 5, "it stands 5 to 0: it may be chance."),  # p = 0.063
        (0, 6, "the challenger wins 6 to 0: more than chance would give."),  # p = 0.031
        (1, 7, "it stands 7 to 1: it may be chance."),  # p = 0.070
        (0, 0, "neither is right where the other is wrong."),
    ],
)
def test_verdict(model: int, challenger: int, verdict: str) -> None:
    assert ChallengerComparison(100, model, challenger, 0).verdict().endswith(verdict)
