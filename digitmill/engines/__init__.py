"""Opens a model bundle, checks it and runs its model: `open_bundle(path).load().probabilities(digits)`.

Training measures what it has exported by the same code that scores with it later.
"""
