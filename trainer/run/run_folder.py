"""The folder that a training run fills: bundle, history, report, checkpoints, TensorBoard's files."""

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Final

from digitmill.commands import run_config
from schemas.errors import UserError
from schemas.model.bundle import CARD
from trainer.run.checkpoints import Checkpoints
from trainer.run.run_location import LocalPlace, Places

BUNDLE: Final = "bundle"
"""The model bundle; it appears when the run is finished, not before. In a bucket its card comes last."""

MEMBERS: Final = "members"
"""An ensemble's members, each a run folder of its own, by their number."""

_CLAIM: Final = "run.txt"
_CLAIM_TEXT: Final = "A training run writes here; it is finished when there is bundle/model_card.json.\n"


def claim(places: Places, *, resume: bool = False) -> None:
    """Makes a run folder, or takes over that of a run which did not finish.

    Args:
        places: where the run goes.
        resume: whether it may hold checkpoints to go on from.

    Raises:
        UserError: when the folder holds a finished run, a bundle, or, unless resumed, checkpoints; or
            when it cannot be written.
    """
    run = places.run
    with writable(run.uri):
        if run.exists(f"{BUNDLE}/{CARD}") or run.exists(CARD):
            raise UserError(
                "--output holds no finished run", got=run.uri, remedy="name another folder or remove this one"
            )
        if not resume and Checkpoints(places.checkpoints).steps():
            raise UserError(
                "--output holds no checkpoints of a run that did not finish",
                got=places.checkpoints.uri,
                remedy="give --resume to go on, name another folder, or remove them",
            )
        run.folder.mkdir(parents=True, exist_ok=True)
        _probe(places)


@contextlib.contextmanager
def writable(folder: str) -> Iterator[None]:
    """Context manager in which a folder is made, and written to for the first time.

    Raises:
        UserError: when the system refuses that.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            "--output is a folder that can be written",
            got=folder,
            remedy=f"choose another one: {error.strerror}",
        ) from error


def write_config(places: Places, text: str) -> None:
    """Writes the file that repeats the run, unless an earlier process of it has.

    Args:
        places: where the run goes; claimed.
        text: what `digitmill.commands.run_config.to_text` returns.
    """
    if not places.run.exists(run_config.FILE):
        (places.run.folder / run_config.FILE).write_text(text, encoding="utf-8")
        places.run.publish(run_config.FILE)


def _probe(places: Places) -> None:
    """Finds out before the training whether it can be written."""
    with tempfile.TemporaryFile(dir=places.run.folder):
        pass
    if not isinstance(places.run, LocalPlace):
        (places.run.folder / _CLAIM).write_text(_CLAIM_TEXT, encoding="utf-8")
        places.run.publish(_CLAIM)
