"""Scores one work item: reads, decodes, predicts, decides and writes. Also brings the model to the worker."""
