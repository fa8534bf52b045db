"""Chooses the distribution strategy, and divides batches over its replicas."""

import contextlib
import faulthandler
import os
from collections.abc import Iterator
from typing import Final

import tensorflow as tf

from digitmill.native_log import quiet_stderr
from schemas.errors import UserError
from trainer.cluster import devices, tf_config
from trainer.cluster.all_reduce import communication_options, cross_device_ops

CONNECT_SECONDS: Final = 300
"""Time for TensorFlow to connect workers that have met. By itself it waits for hours, for one that has died
since, in native code that holds Python's lock."""

_MIN_PER_REPLICA: Final = 32
"""Images per replica and step below which distributing a batch costs more than it saves."""


def make_strategy(
    replicas: int | None, *, kind: str = "auto", all_reduce: str = "auto"
) -> tf.distribute.Strategy:
    """Return the strategy; must be called before anything else initializes TensorFlow's devices.

    Args:
        replicas: number of GPUs or, without a GPU, of logical CPU devices. None for all GPUs or one CPU.
        kind: `one`, `mirrored`, `multi_worker`, or `auto`: several workers if `TF_CONFIG` names several,
            else all devices of this machine.
        all_reduce: how the replicas sum gradients; one of `trainer.train_options.ALL_REDUCES`.

    Raises:
        UserError: if there are fewer devices, TensorFlow was initialized with fewer, the kind contradicts
            `TF_CONFIG` or the number of replicas, or the devices don't support `all_reduce`.
    """
    # Hides a warning about collective operations that only concerns several workers.
    tf.get_logger().setLevel("ERROR")
    workers = tf_config.read(os.environ).workers
    if kind == "multi_worker" or (kind == "auto" and workers > 1):
        return _multi_worker(workers, replicas, all_reduce)
    if kind == "one":
        if replicas not in (None, 1):
            raise UserError(
                "--strategy one doesn't allow --replicas", value=replicas, hint="leave --replicas out"
            )
        replicas = 1
    return _mirrored(replicas, all_reduce)


def _multi_worker(workers: int, replicas: int | None, all_reduce: str) -> tf.distribute.Strategy:
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
            hint="hide GPUs with CUDA_VISIBLE_DEVICES instead",
        )
    options = communication_options(all_reduce, gpus=bool(devices.gpus()))
    # Blocks until all workers have connected.
    with _connecting(), quiet_stderr():
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


@contextlib.contextmanager
def _connecting() -> Iterator[None]:
    """Context in which this process ends with 1, and says where it was, if it lasts too long."""
    with os.fdopen(os.dup(2), "w") as shown:
        # By a native thread: no Python thread runs, and no signal is handled.
        faulthandler.dump_traceback_later(CONNECT_SECONDS, exit=True, file=shown)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _mirrored(replicas: int | None, all_reduce: str) -> tf.distribute.Strategy:
    gpus = devices.gpus()
    if replicas is not None and gpus and replicas > len(gpus):
        raise UserError(
            f"--replicas exceeds the number of GPUs, {len(gpus)}",
            value=replicas,
            hint="leave it out to use them all",
        )
    count = replicas or len(gpus) or 1
    ops = cross_device_ops(all_reduce, devices=count, gpus=bool(gpus))
    names = [f"/gpu:{index}" for index in range(count)] if gpus else _logical_cpus(count)
    return tf.distribute.MirroredStrategy(names, cross_device_ops=ops)


def _logical_cpus(count: int) -> list[str]:
    (cpu,) = tf.config.list_physical_devices("CPU")
    # Fails once TensorFlow's devices are initialized; their number may suffice.
    with contextlib.suppress(RuntimeError):
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    started = len(tf.config.list_logical_devices("CPU"))
    if started < count:
        raise UserError(
            f"TensorFlow was already initialized with {started} replicas, fewer than --replicas",
            value=count,
            hint="start a new process",
        )
    return [f"/cpu:{index}" for index in range(count)]


def enable_determinism() -> None:
    """Make TensorFlow's GPU operations deterministic; CPU operations always are."""
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


def slow_sharing_warning(strategy: tf.distribute.Strategy, *, dense: bool) -> str | None:
    """Return a warning if one worker would train the network faster than several; else None.

    Args:
        strategy: the job's.
        dense: whether the network has dense layers only: sending its gradients then takes longer than
            computing them.
    """
    if not (dense and is_multi_worker(strategy)):
        return None
    return (
        "warning: several workers train a dense network at 1,000 to 3,000 images/s, fewer than one worker by "
        "itself; give one worker, or a recipe with convolutions"
    )


def small_batch_warning(batch: int, replicas: int) -> str | None:
    """Return a warning if the batch is too small to benefit from its replicas; else None."""
    if replicas == 1 or batch // replicas >= _MIN_PER_REPLICA:
        return None
    return (
        f"warning: with {batch // replicas} images on each of {replicas} replicas, one replica is probably "
        f"faster; give --batch {replicas * _MIN_PER_REPLICA} or more, or fewer --replicas"
    )
