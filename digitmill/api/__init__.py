"""The Python API: what `import digitmill` offers, on the same jobs, options and guarantees as the command.

`digitmill` imports a module of this package when one of its names is first used. `loaded_model` runs a bundle
on pictures in memory, `scored_run` scores and reads whole runs, `training_call` trains, and `sample_files`
writes digits for a first try.
"""

__all__ = [
    "loaded_model",
    "sample_files",
    "scored_run",
    "training_call",
]
