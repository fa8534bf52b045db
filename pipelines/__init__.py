"""The scoring job: list, read, score, write once, reconcile, report. Never imports TensorFlow."""
