"""Model bundles: exported formats, their checks and measurements, provenance, and networks from bundles.

`export` writes a bundle, and its card last: a folder without a card is no bundle. `initial_weights` reads
networks back, for `--init`, teachers and ensembles.
"""

__all__ = [
    "export",
    "initial_weights",
    "keras_engine",
    "provenance",
]
