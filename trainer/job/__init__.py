"""The training jobs: train one network or an ensemble, conclude with bundle and report, evaluate a bundle."""
