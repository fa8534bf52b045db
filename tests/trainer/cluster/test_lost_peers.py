import pytest
import tensorflow as tf

from trainer.cluster.lost_peers import is_loss, lost_peer_errors
from trainer.cluster.restart import PeerLostError

LOST = [
    tf.errors.UnavailableError(None, None, "Collective ops is aborted by: Socket closed"),
    tf.errors.AbortedError(None, None, "worker 1 heartbeat timeout"),
    tf.errors.FailedPreconditionError(None, None, "incarnation doesn't match: the worker has restarted"),
    tf.errors.InternalError(None, None, "Collective ops is aborted by: Connection reset by peer"),
    tf.errors.CancelledError(None, None, "the coordination service agent was shut down"),
    tf.errors.DeadlineExceededError(None, None, "failed to connect to all addresses"),
    tf.errors.InternalError(None, None, "NCCL: remote process exited or there was a network error"),
]
WITH_NODE = tf.errors.UnavailableError(None, None, "{{function_node f_226}} Collective ops is aborted\nmore")

BUGS = [
    tf.errors.InternalError(None, None, "NCCL error: unhandled cuda error"),
    tf.errors.InternalError(None, None, "Inconsistent output shapes, got [2], but expected is [3]."),
    tf.errors.InvalidArgumentError(None, None, "Shape mismatch in the collective instance 10"),
    tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
    tf.errors.CancelledError(None, None, "step cancelled"),
]


class Several(tf.distribute.MultiWorkerMirroredStrategy):
    """The strategy of several workers, without any."""

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize("error", LOST)
def test_a_lost_worker_is_recognised_and_the_error_kept(error):
    assert is_loss(error)
    with (
        pytest.raises(PeerLostError, match="another worker of this job died: ") as raised,
        lost_peer_errors(Several()),
    ):
        raise error
    assert raised.value.__cause__ is error
    assert error.message in str(raised.value)


@pytest.mark.parametrize("error", BUGS)
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as raised, lost_peer_errors(Several()):
        raise error
    assert raised.value is error


def test_the_loss_is_one_line_without_the_graph():
    with pytest.raises(PeerLostError) as raised, lost_peer_errors(Several()):
        raise WITH_NODE
    assert str(raised.value) == "another worker of this job died: Collective ops is aborted"


def test_the_loss_names_the_cause_and_not_the_graph():
    text = (
        "Graph execution error:\n\nDetected at node CollectiveGatherV2 defined at (most recent call last):\n"
        '  File "a.py", line 3, in main\n\nCollective ops is aborted by: recvmsg:Connection reset by peer\n'
        "The error could be from a previous operation. [Op:__inference_f_226]"
    )
    with pytest.raises(PeerLostError) as raised, lost_peer_errors(Several()):
        raise tf.errors.UnavailableError(None, None, text)
    cause = "Collective ops is aborted by: recvmsg:Connection reset by peer"
    assert str(raised.value) == f"another worker of this job died: {cause}"


def test_one_machine_loses_nobody(two_replicas):
    with pytest.raises(tf.errors.UnavailableError), lost_peer_errors(two_replicas):
        raise LOST[0]
