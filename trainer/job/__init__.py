"""The training jobs: train one network or an ensemble, finalize with bundle and report, evaluate a bundle."""
