"""Opens a model bundle, checks it and runs its model: `open_bundle(path).load().probabilities(digits)`.

`bundle_loader` opens a bundle, `engine_choice` picks the engine for the machine, `engine_timing` the fastest
one, and `engine` says what an engine is. Training measures what it has exported by the same code that scores
with it later.
"""

__all__ = [
    "bundle_files",
    "bundle_loader",
    "engine",
    "engine_choice",
    "engine_timing",
    "saved_model",
]
