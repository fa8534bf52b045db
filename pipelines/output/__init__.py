"""The life of an output folder: plan, resume, progress, reconciliation, manifest, summary, verification."""
