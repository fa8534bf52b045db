"""Metrics of a trained model: accuracy, calibration, temperature scaling, out-of-distribution images."""
