"""Transforms for other Beam pipelines: `ClassifyImages`, `ReadDigits`, a model handler for `RunInference`.

The package `pipelines` exports them, so that a pipeline needs no more than `import pipelines`.
"""

__all__ = [
    "composites",
    "model_handler",
]
