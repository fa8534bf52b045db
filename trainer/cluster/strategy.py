"""The devices that share the work, and how a batch divides over them."""

import contextlib
import os
from typing import Final

import tensorflow as tf

from schemas.errors import UserError
from trainer.cluster import tf_config
from trainer.quiet import quiet_stderr

_SMALL: Final = 32
"""Images a replica and step below which sharing a batch costs more than it saves."""


def make_strategy(replicas: int | None, *, kind: str = "auto") -> tf.distribute.Strategy:
    """Returns the strategy; must come before anything else that starts TensorFlow's devices.

    Args:
        replicas: GPUs to use, or logical CPU devices where there is no GPU; all GPUs, or one CPU,
            when None.
        kind: `one`, `mirrored`, `multi_worker`, or `auto`: several workers when `TF_CONFIG` names
            several, else all devices of this machine.

    Raises:
        UserError: when there are not so many devices, TensorFlow has started with fewer, or the kind
            does not go with `TF_CONFIG` or with the number of replicas.
    """
    # A note on collective operations that several workers need, not one.
    tf.get_logger().setLevel("ERROR")
    workers = tf_config.read(os.environ).workers
    if kind == "multi_worker" or (kind == "auto" and workers > 1):
        return _multi_worker(workers, replicas)
    if kind == "one":
        if replicas not in (None, 1):
            raise UserError("--strategy one has one replica", got=replicas, remedy="leave --replicas out")
        replicas = 1
    return _mirrored(replicas)


def _multi_worker(workers: int, replicas: int | None) -> tf.distribute.Strategy:
    if workers < 2:
        raise UserError(
            "--strategy multi_worker has several workers in TF_CONFIG",
            got=os.environ.get(tf_config.VARIABLE, ""),
            remedy="set TF_CONFIG on every worker, or choose --strategy mirrored",
        )
    if replicas is not None:
        raise UserError(
            "--replicas is for one machine; several workers use all GPUs of each",
            got=replicas,
            remedy="hide GPUs by CUDA_VISIBLE_DEVICES instead",
        )
    # It waits here until every worker is there.
    with quiet_stderr():
        return tf.distribute.MultiWorkerMirroredStrategy()


def _mirrored(replicas: int | None) -> tf.distribute.Strategy:
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


def keep_gpus_deterministic() -> None:
    """Lets TensorFlow use no operation whose result varies. On CPUs it has none of them anyway."""
    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether replicas are on several machines: what differs there is asked for by this alone."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def local_replicas(strategy: tf.distribute.Strategy) -> int:
    """Returns the number of replicas on this machine."""
    return strategy.num_replicas_in_sync // (
        tf_config.read(os.environ).workers if is_multi_worker(strategy) else 1
    )


def worker_index(strategy: tf.distribute.Strategy) -> int:
    """Returns this machine's number among the workers; 0 is the chief's, and that of a single machine."""
    return tf_config.read(os.environ).index if is_multi_worker(strategy) else 0


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


def small_split_warning(batch: int, replicas: int) -> str | None:
    """Returns what to say when a batch is too small for its replicas to pay; None when it is not."""
    if replicas == 1 or batch // replicas >= _SMALL:
        return None
    return (
        f"warning: {batch // replicas} images on each of {replicas} replicas are too few to pay: one replica "
        f"is probably faster; give --batch {replicas * _SMALL} or more, or fewer --replicas"
    )
