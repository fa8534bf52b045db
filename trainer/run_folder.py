"""The folder that a training run fills: `bundle/`, `history.csv`, `plots/`."""

import pathlib
import tempfile
from typing import Final

from schemas.bundle import CARD
from schemas.errors import UserError

BUNDLE: Final = "bundle"
"""The model bundle; it appears when the run is finished, not before."""

PLOTS: Final = "plots"
"""PNG pictures of the run."""


def claim(folder: pathlib.Path) -> None:
    """Makes a run folder, or takes over that of a run which did not finish.

    Raises:
        UserError: when the folder holds a finished run or a bundle, or cannot be written.
    """
    if "://" in str(folder) or ":/" in str(folder):
        raise UserError(
            "--output is a local folder", got=str(folder), remedy="copy the run folder afterwards"
        )
    try:
        if (folder / BUNDLE).exists() or (folder / CARD).exists():
            raise UserError(
                "--output holds no finished run",
                got=str(folder),
                remedy="name another folder or remove this one",
            )
        (folder / PLOTS).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            "--output is a folder that can be written",
            got=str(folder),
            remedy=f"choose another one: {error.strerror}",
        ) from error
