"""The training loop: input pipeline, steps, updates, evaluation and precision.

`training_loop.Trainer` trains one network; what it does besides training is an action in `actions`.
"""

__all__ = [
    "evaluation",
    "precision",
    "training_loop",
    "training_state",
]
