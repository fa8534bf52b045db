"""The devices that share the work, and how a batch divides over them."""

import contextlib

import tensorflow as tf

from schemas.errors import UserError
from trainer.quiet import quiet_stderr


def make_strategy(replicas: int | None) -> tf.distribute.Strategy:
    """Returns a `MirroredStrategy`; must come before anything else that starts TensorFlow's devices.

    Args:
        replicas: GPUs to use, or logical CPU devices where there is no GPU; all GPUs, or one CPU,
            when None.

    Raises:
        UserError: when there are not so many devices, or TensorFlow has started with fewer.
    """
    # A note on collective operations that several workers need, not one.
    tf.get_logger().setLevel("ERROR")
    # Looking for GPUs where there is none writes an error that is none.
    with quiet_stderr():
        gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        # On CPUs the default is a collective: slower (25,000 images/s against 35,000 with two
        # replicas), and two strategies in one process mix up each other's.
        return tf.distribute.MirroredStrategy(
            _logical_cpus(replicas or 1), cross_device_ops=tf.distribute.ReductionToOneDevice()
        )
    if replicas is not None and replicas > len(gpus):
        raise UserError(
            f"--replicas is at most the number of GPUs, {len(gpus)}",
            got=replicas,
            remedy="leave it out to use them all",
        )
    return tf.distribute.MirroredStrategy([f"/gpu:{index}" for index in range(replicas or len(gpus))])


def _logical_cpus(count: int) -> list[str]:
    (cpu,) = tf.config.list_physical_devices("CPU")
    # Refused once TensorFlow has started; what it started with may do.
    with contextlib.suppress(RuntimeError):
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    started = len(tf.config.list_logical_devices("CPU"))
    if started < count:
        raise UserError(
            f"--replicas cannot grow in a process whose TensorFlow has started with {started}",
            got=count,
            remedy="start a new process",
        )
    return [f"/cpu:{index}" for index in range(count)]


def per_replica_batch(batch: int, replicas: int) -> int:
    """Returns how many images of a global batch each replica gets.

    Raises:
        UserError: when the batch does not divide evenly, with the nearest that does.
    """
    if batch % replicas == 0:
        return batch // replicas
    below, above = batch // replicas * replicas, -(-batch // replicas) * replicas
    nearest = below if below and batch - below <= above - batch else above
    raise UserError(
        f"the batch divides evenly over {replicas} replicas", got=batch, remedy=f"give --batch {nearest}"
    )
