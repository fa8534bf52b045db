"""The contract of the model bundle: its files, and its card with the model's metrics."""
