"""The training loop: input pipeline, steps, updates, evaluation, precision and randomness."""
