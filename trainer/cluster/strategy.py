"""Chooses the distribution strategy, and divides batches over its replicas."""

import contextlib
import os
from typing import Final

import tensorflow as tf

from digitmill.native_log import quiet_stderr
from schemas.errors import UserError
from trainer.cluster import tf_config

_MIN_PER_REPLICA: Final = 32
"""Images per replica and step below which distributing a batch costs more than it saves."""


def make_strategy(replicas: int | None, *, kind: str = "auto") -> tf.distribute.Strategy:
    """Return the strategy; must be called before anything else initialises TensorFlow's devices.

    Args:
        replicas: number of GPUs or, without a GPU, of logical CPU devices. None for all GPUs or one CPU.
        kind: `one`, `mirrored`, `multi_worker`, or `auto`: several workers if `TF_CONFIG` names several,
            else all devices of this machine.

    Raises:
        UserError: if there are fewer devices, TensorFlow was initialised with fewer, or the kind contradicts
            `TF_CONFIG` or the number of replicas.
    """
    # Hides a warning about collective operations that only concerns several workers.
    tf.get_logger().setLevel("ERROR")
    workers = tf_config.read(os.environ).workers
    if kind == "multi_worker" or (kind == "auto" and workers > 1):
        return _multi_worker(workers, replicas)
    if kind == "one":
        if replicas not in (None, 1):
            raise UserError(
                "--strategy one doesn't allow --replicas", value=replicas, hint="leave --replicas out"
            )
        replicas = 1
    return _mirrored(replicas)


def _multi_worker(workers: int, replicas: int | None) -> tf.distribute.Strategy:
    if workers < 2:
        raise UserError(
            "--strategy multi_worker needs several workers in TF_CONFIG",
            value=os.environ.get(tf_config.VARIABLE, ""),
            hint="set TF_CONFIG on every worker, or choose --strategy mirrored",
        )
    if replicas is not None:
        raise UserError(
            "--replicas only works on one machine: several workers use all GPUs of each",
            value=replicas,
            hint="hide GPUs by CUDA_VISIBLE_DEVICES instead",
        )
    # Blocks until all workers have connected.
    with quiet_stderr():
        return tf.distribute.MultiWorkerMirroredStrategy()


def _mirrored(replicas: int | None) -> tf.distribute.Strategy:
    # Without a GPU, TensorFlow logs an error that is none.
    with quiet_stderr():
        gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        # The default, a collective, is slower on CPUs (25,000 images/s against 35,000 with two replicas),
        # and two strategies in one process share its keys and crash.
        return tf.distribute.MirroredStrategy(
            _logical_cpus(replicas or 1), cross_device_ops=tf.distribute.ReductionToOneDevice()
        )
    if replicas is not None and replicas > len(gpus):
        raise UserError(
            f"--replicas exceeds the number of GPUs, {len(gpus)}",
            value=replicas,
            hint="leave it out to use them all",
        )
    return tf.distribute.MirroredStrategy([f"/gpu:{index}" for index in range(replicas or len(gpus))])


def _logical_cpus(count: int) -> list[str]:
    (cpu,) = tf.config.list_physical_devices("CPU")
    # Fails once TensorFlow's devices are initialised; their number may suffice.
    with contextlib.suppress(RuntimeError):
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    started = len(tf.config.list_logical_devices("CPU"))
    if started < count:
        raise UserError(
            f"TensorFlow was already initialised with {started} replicas, fewer than --replicas",
            value=count,
            hint="start a new process",
        )
    return [f"/cpu:{index}" for index in range(count)]


def enable_determinism() -> None:
    """Make TensorFlow's GPU operations deterministic; on CPUs they are anyway."""
    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether the replicas are spread over several machines."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def local_replicas(strategy: tf.distribute.Strategy) -> int:
    """Return the number of replicas on this machine."""
    return strategy.num_replicas_in_sync // (
        tf_config.read(os.environ).workers if is_multi_worker(strategy) else 1
    )


def worker_index(strategy: tf.distribute.Strategy) -> int:
    """Return this worker's index; 0 for the chief and for a single machine."""
    return tf_config.read(os.environ).index if is_multi_worker(strategy) else 0


def per_replica_batch(batch: int, replicas: int) -> int:
    """Return the images per replica of a global batch; raise UserError if it doesn't divide evenly."""
    if batch % replicas == 0:
        return batch // replicas
    below, above = batch // replicas * replicas, -(-batch // replicas) * replicas
    nearest = below if below and batch - below <= above - batch else above
    raise UserError(
        f"the batch doesn't divide evenly over {replicas} replicas",
        value=batch,
        hint=f"give --batch {nearest}",
    )


def small_batch_warning(batch: int, replicas: int) -> str | None:
    """Return a warning if the batch is too small to benefit from its replicas; else None."""
    if replicas == 1 or batch // replicas >= _MIN_PER_REPLICA:
        return None
    return (
        f"warning: with {batch // replicas} images on each of {replicas} replicas, one replica is probably "
        f"faster; give --batch {replicas * _MIN_PER_REPLICA} or more, or fewer --replicas"
    )
