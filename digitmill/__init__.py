"""digitmill: train digit classifiers, and score very large folders of digit images.

    import digitmill

    run = digitmill.score("scans", output="scores", labels="folder")
    model = digitmill.load()
    model.predict(["a.png", pathlib.Path("b.jpg"), array, pil_image]).digits

This package has the command and the library of both jobs, `trainer` and `pipelines`. Importing `digitmill`
must be cheap, so this file imports nothing: each name of the Python API loads what it needs on first use.
"""

TYPE_CHECKING = False  # type checkers take it for True; that of `typing` would have to be imported

if TYPE_CHECKING:
    from digitmill.api.loaded_model import Model, Predictions, canonicalize, load
    from digitmill.api.sample_files import sample
    from digitmill.api.scored_run import Run, read, score
    from digitmill.api.training_call import Training, train
    from schemas.errors import (
        ExitCode,
        JobFailedError,
        StoppedError,
        StorageError,
        UnreconciledError,
        UserError,
        WorkerError,
    )
    from schemas.failure import ImageError

    __version__: str

__all__ = [
    "ExitCode",
    "ImageError",
    "JobFailedError",
    "Model",
    "Predictions",
    "Run",
    "StoppedError",
    "StorageError",
    "Training",
    "UnreconciledError",
    "UserError",
    "WorkerError",
    "__version__",
    "canonicalize",
    "default_model",
    "extras",
    "import_path",
    "ink_statistics",
    "load",
    "machine",
    "native_log",
    "read",
    "sample",
    "score",
    "train",
]

_HOMES = {
    "digitmill.api.loaded_model": ("Model", "Predictions", "canonicalize", "load"),
    "digitmill.api.sample_files": ("sample",),
    "digitmill.api.scored_run": ("Run", "read", "score"),
    "digitmill.api.training_call": ("Training", "train"),
    "schemas.errors": (
        "ExitCode",
        "JobFailedError",
        "StoppedError",
        "StorageError",
        "UnreconciledError",
        "UserError",
        "WorkerError",
    ),
    "schemas.failure": ("ImageError",),
}


def __getattr__(name: str) -> object:
    import importlib

    if name == "__version__":
        from importlib import metadata

        return metadata.version("digitmill")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
