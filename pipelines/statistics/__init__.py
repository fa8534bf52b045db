"""Mergeable statistics of a work item: tallies, thresholds, agreement of two models, kept samples."""
