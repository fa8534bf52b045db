"""Devices and machines: distribution strategy, `TF_CONFIG`, collectives, restart after a lost worker.

The same training runs on a processor, on several GPUs or on several machines; what differs is decided here.
"""

__all__ = [
    "collectives",
    "devices",
    "lost_peers",
    "rendezvous",
    "restart",
    "stop_watch",
    "strategy",
    "tf_config",
]
