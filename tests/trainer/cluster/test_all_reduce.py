import pytest
import tensorflow as tf

from schemas.errors import UserError
from trainer.cluster.all_reduce import communication_options, cross_device_ops
from trainer.cluster.strategy import make_strategy

NCCL, HIERARCHICAL, ONE_DEVICE = (
    tf.distribute.NcclAllReduce,
    tf.distribute.HierarchicalCopyAllReduce,
    tf.distribute.ReductionToOneDevice,
)


@pytest.mark.parametrize(
    ("name", "devices", "gpus", "kind"),
    [
        ("auto", 8, True, type(None)),
        ("auto", 1, False, type(None)),
        ("auto", 2, False, ONE_DEVICE),
        ("nccl", 8, True, NCCL),
        ("hierarchical", 8, True, HIERARCHICAL),
        ("hierarchical", 2, False, HIERARCHICAL),
        ("one_device", 3, True, ONE_DEVICE),
    ],
)
def test_each_name_stands_for_one_implementation(name, devices, gpus, kind):
    assert type(cross_device_ops(name, devices=devices, gpus=gpus)) is kind


@pytest.mark.parametrize(
    ("name", "devices", "gpus", "words"),
    [
        ("nccl", 2, False, "NCCL needs GPUs"),
        ("ring", 2, True, "'one machine'. Choose nccl, hierarchical or one_device"),
        # TensorFlow would drop the gradients of the third.
        ("hierarchical", 3, True, "'3 replicas'. Give an even number"),
    ],
)
def test_what_these_devices_cannot_do_is_refused(name, devices, gpus, words):
    with pytest.raises(UserError, match=words):
        cross_device_ops(name, devices=devices, gpus=gpus)


@pytest.mark.parametrize("name", ["auto", "nccl", "ring"])
def test_workers_communicate_as_asked(name):
    assert communication_options(name, gpus=True).implementation.name == name.upper()


@pytest.mark.parametrize(("name", "gpus"), [("hierarchical", True), ("one_device", True), ("nccl", False)])
def test_what_workers_cannot_do_is_refused(name, gpus):
    with pytest.raises(UserError, match=f"--all-reduce {name} doesn't work"):
        communication_options(name, gpus=gpus)


@pytest.mark.parametrize("name", ["auto", "hierarchical", "one_device"])
def test_every_way_sums_the_same(name):
    strategy = make_strategy(2, all_reduce=name)

    def share() -> tuple[tf.Tensor, ...]:
        context = tf.distribute.get_replica_context()
        mine = [tf.constant([1.0, 2.0, float(number)]) for number in range(5)]
        scaled = [value * (1.0 + float(context.replica_id_in_sync_group)) for value in mine]
        return tuple(context.all_reduce(tf.distribute.ReduceOp.SUM, scaled))

    sums = tf.function(lambda: strategy.run(share))()
    for number, each in enumerate(sums):
        for copy in strategy.experimental_local_results(each):
            assert copy.numpy().tolist() == [3.0, 6.0, 3.0 * number]
