"""How replicas sum their gradients: chooses TensorFlow's implementation for the devices."""

from typing import Final, NoReturn

import tensorflow as tf

from schemas.errors import UserError

_COMMUNICATION: Final = tf.distribute.experimental.CommunicationImplementation
_AMONG_WORKERS: Final = {
    "auto": _COMMUNICATION.AUTO,
    "nccl": _COMMUNICATION.NCCL,
    "ring": _COMMUNICATION.RING,
}


def cross_device_ops(name: str, *, devices: int, gpus: bool) -> tf.distribute.CrossDeviceOps | None:
    """Return how one machine's replicas sum gradients; None for TensorFlow's default, NCCL on GPUs.

    Args:
        name: one of `trainer.train_options.ALL_REDUCES`.
        devices: number of replicas.
        gpus: whether they are GPUs, not logical CPUs.

    Raises:
        UserError: if these devices don't support it.
    """
    if name == "auto":
        # The default, a collective, is slower on CPUs (25,000 images/s against 35,000 with two replicas),
        # and two strategies in one process share its keys and crash.
        return tf.distribute.ReductionToOneDevice() if devices > 1 and not gpus else None
    if name == "nccl":
        _check_gpus(gpus)
        return tf.distribute.NcclAllReduce()
    if name == "hierarchical":
        if devices % 2:
            # TensorFlow halves the devices into two groups, and drops the last one's gradients.
            _refuse(name, f"{devices} replicas", "give an even number of --replicas")
        return tf.distribute.HierarchicalCopyAllReduce()
    if name != "one_device":
        _refuse(name, "one machine", "choose nccl, hierarchical or one_device, or leave it out")
    return tf.distribute.ReductionToOneDevice()


def communication_options(name: str, *, gpus: bool) -> tf.distribute.experimental.CommunicationOptions:
    """Return how several workers sum their gradients; raise UserError if they don't support it.

    Args:
        name: one of `trainer.train_options.ALL_REDUCES`.
        gpus: whether this machine has GPUs.
    """
    if name not in _AMONG_WORKERS:
        _refuse(name, "several workers", "choose nccl or ring, or leave it out")
    if name == "nccl":
        _check_gpus(gpus)
    return tf.distribute.experimental.CommunicationOptions(implementation=_AMONG_WORKERS[name])


def _check_gpus(gpus: bool) -> None:
    if not gpus:
        _refuse("nccl", "CPUs", "leave it out: NCCL needs GPUs")


def _refuse(name: str, devices: str, hint: str) -> NoReturn:
    raise UserError(f"--all-reduce {name} doesn't work on these devices", value=devices, hint=hint)
