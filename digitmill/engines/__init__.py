"""Opens a model bundle, checks it and runs its model: `open_bundle(path).load().probabilities(digits)`.

`bundle_loader` opens a bundle, `engine_choice` picks the engine for the machine, `engine_timing` the fastest
one, and `engine` defines the interface. Training measures its exports with the same code that scores later.
"""

__all__ = [
    "bundle_files",
    "bundle_loader",
    "engine",
    "engine_choice",
    "engine_timing",
    "saved_model",
]
