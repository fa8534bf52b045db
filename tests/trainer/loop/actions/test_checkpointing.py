import math

import pytest

from tests.trainer.loop.actions.reports import epoch_report, step_report
from trainer.loop.actions.checkpointing import Checkpointing


def saved_steps(every_steps: int | None, *, steps: int = 10, epochs: int = 3) -> list[int]:
    """The steps after which a training of single-step chunks was saved."""
    saved, current = [], 0
    action = Checkpointing(lambda: saved.append(current), every_steps)
    for current in range(1, steps * epochs + 1):
        ends_epoch = current % steps == 0
        action.after_steps(step_report(step=current, ends_epoch=ends_epoch))
        if ends_epoch:
            action.after_epoch(epoch_report(step=current, is_last=current == steps * epochs))
    return saved


@pytest.mark.parametrize(
    ("every_steps", "expected"),
    [(None, [10, 20, 30]), (4, [4, 8, 12, 16, 20, 24, 28, 30]), (10, [10, 20, 30]), (1_000, [30])],
)
def test_checkpoints_are_saved_when_due_and_at_the_end(every_steps, expected):
    assert saved_steps(every_steps) == expected


def test_chunks_end_where_a_checkpoint_is_due():
    action = Checkpointing(lambda: None, 4)
    assert [action.next_step(step) for step in (0, 3, 4)] == [4, 4, 8]
    assert Checkpointing(lambda: None, None).next_step(3) == math.inf
