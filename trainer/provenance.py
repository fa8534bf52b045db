"""Which code and which libraries made a bundle."""

import importlib.metadata
import pathlib
import platform
import subprocess

_LIBRARIES = (
    "digitmill",
    "keras",
    "mlxtend",
    "numpy",
    "opencv-python-headless",
    "tensorflow",
    "tensorflow-datasets",
)


def git_commit() -> str:
    """Returns the commit of this code, with `-dirty` when files were changed; empty outside a checkout."""
    here = pathlib.Path(__file__)
    # An installed copy may lie within somebody else's checkout, which then does not track it.
    if not _git("ls-files", "--error-unmatch", here.name, folder=here.parent):
        return ""
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*", folder=here.parent)


def versions() -> dict[str, str]:
    """Returns the version of Python and of each library that takes part and is installed."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _git(*arguments: str, folder: pathlib.Path) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
