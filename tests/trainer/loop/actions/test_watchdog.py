import math
import types

import numpy as np
import pytest
import tensorflow as tf

from schemas.errors import ExitCode
from tests.trainer.loop.actions.reports import step_report
from trainer.loop.actions.watchdog import DivergedError, Watchdog


def watchdog(checkpoint: str | None = None) -> Watchdog:
    return Watchdog(types.SimpleNamespace(newest=checkpoint))


@pytest.mark.parametrize("loss", [0.0, 2.3, 6.5])
def test_a_good_loss_passes(loss):
    watchdog().after_steps(step_report(loss=loss))


@pytest.mark.parametrize(
    ("loss", "message"), [(math.nan, "became nan"), (math.inf, "became inf"), (16.1, "exploded to 16.1")]
)
def test_a_bad_loss_is_an_error_with_the_steps_and_the_checkpoint(loss, message):
    with pytest.raises(DivergedError) as error:
        watchdog("run/checkpoints/step-5.npz").after_steps(step_report(loss=loss, epoch=3, first=11, last=20))
    assert message in str(error.value)
    assert "epoch 3, steps 11 to 20" in str(error.value)
    assert "last good checkpoint is run/checkpoints/step-5.npz" in str(error.value)
    assert error.value.code == ExitCode.USAGE


@pytest.mark.parametrize("watch", [watchdog(), Watchdog()])
def test_without_a_checkpoint_the_error_says_so(watch):
    with pytest.raises(DivergedError, match="no checkpoint yet"):
        watch.after_steps(step_report(loss=math.nan))


def test_weights_that_are_not_finite_are_an_error():
    weights = [tf.Variable(np.ones(3)), tf.Variable([1.0, np.nan])]
    watchdog().check_weights(weights[:1], epoch=1, step=4)
    with pytest.raises(DivergedError, match="epoch 1, steps 4 to 4"):
        watchdog().check_weights(weights, epoch=1, step=4)
