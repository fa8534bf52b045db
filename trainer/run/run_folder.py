"""The run folder: claims it for one run, and names what is in it."""

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
"""The model bundle, which appears when the run is finished; in a bucket, its card comes last."""

MEMBERS: Final = "members"
"""The members of an ensemble, each with its own run folder."""

_CLAIM: Final = "run.txt"
_CLAIM_TEXT: Final = "A training run writes here; it is finished when there is bundle/model_card.json.\n"


def claim(places: Places, *, resume: bool = False) -> None:
    """Create a run folder, or take over that of an unfinished run.

    Raises:
        UserError: if the folder holds a finished run, a bundle or, without `resume`, checkpoints; or if it
            can't be written.
        StorageError: if it is in a bucket that can't be read or written.
    """
    run = places.run
    with writable(run.uri):
        if run.exists(f"{BUNDLE}/{CARD}") or run.exists(CARD):
            raise UserError(
                "--output holds a finished run", value=run.uri, hint="name another folder or remove this one"
            )
        if not resume and Checkpoints(places.checkpoints).steps():
            raise UserError(
                "--output holds checkpoints of an unfinished run",
                value=places.checkpoints.uri,
                hint="give --resume to continue, name another folder, or remove them",
            )
        run.folder.mkdir(parents=True, exist_ok=True)
        _probe(places)


@contextlib.contextmanager
def writable(folder: str) -> Iterator[None]:
    """Context that turns an OSError into a UserError about `--output`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            "cannot write --output",
            value=folder,
            hint=f"choose another one: {error.strerror}",
        ) from error


def write_config(places: Places, text: str) -> None:
    """Write the file that repeats the run, unless an earlier process of the run has."""
    if not places.run.exists(run_config.FILE):
        (places.run.folder / run_config.FILE).write_text(text, encoding="utf-8")
        places.run.publish(run_config.FILE)


def _probe(places: Places) -> None:
    """Check before the training that the folder can be written."""
    with tempfile.TemporaryFile(dir=places.run.folder):
        pass
    if not isinstance(places.run, LocalPlace):
        (places.run.folder / _CLAIM).write_text(_CLAIM_TEXT, encoding="utf-8")
        places.run.publish(_CLAIM)
