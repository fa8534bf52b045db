"""The training jobs: train a network or an ensemble, write bundle and report, evaluate a bundle."""
