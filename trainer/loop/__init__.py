"""The training loop: input pipeline, steps, updates, evaluation and precision.

`training_loop.Trainer` trains one network; what it does beside training hangs on it as `actions`.
"""
