"""Transforms for other Beam pipelines: `ClassifyImages`, `ReadDigits`, a model handler for `RunInference`."""
