import math

import pytest

from trainer.loop.actions.watchdog import DivergedError, check_loss


def check(loss: float, checkpoint: str | None = None) -> None:
    check_loss(loss, epoch=3, first=11, last=20, checkpoint=checkpoint)


@pytest.mark.parametrize("loss", [0.0, 2.3, 6.5])
def test_a_good_loss_passes(loss):
    check(loss)


@pytest.mark.parametrize(
    ("loss", "said"), [(math.nan, "became nan"), (math.inf, "became inf"), (16.1, "exploded to 16.1")]
)
def test_a_bad_one_names_the_steps_and_the_checkpoint(loss, said):
    with pytest.raises(DivergedError) as error:
        check(loss, "run/checkpoints/step-5.npz")
    assert said in str(error.value)
    assert "epoch 3, steps 11 to 20" in str(error.value)
    assert "last good checkpoint is run/checkpoints/step-5.npz" in str(error.value)
    assert error.value.code == 1


def test_without_a_checkpoint_it_says_so():
    with pytest.raises(DivergedError, match="no checkpoint yet"):
        check(math.nan)
