"""What the loop does besides training: progress, TensorBoard, checkpoints, divergence watchdog, preemption.

Each is an `Action`, called after every chunk of steps and after every epoch. A new one is a module here
and a line in `Trainer.epochs`.
"""

__all__ = [
    "action",
    "checkpointing",
    "preemption",
    "progress",
    "tensorboard",
    "watchdog",
]
