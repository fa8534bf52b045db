"""The run folder: claims it for one run, and names what is in it."""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Collection, Iterator
from typing import Final

import yaml

from digitmill.commands import run_config
from digitmill.storage import open_folder
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


def is_finished(places: Places) -> bool:
    """Whether the folder has a finished run; raises StorageError for a bucket that can't be read."""
    return places.run.exists(f"{BUNDLE}/{CARD}")


@contextlib.contextmanager
def held(places: Places) -> Iterator[Places]:
    """Context in which no other run writes to the folder; yields places that know the hold.

    Raises:
        UserError: if another run holds the folder, or it can't be written.
    """
    with open_folder(places.run.uri).hold() as hold:
        yield dataclasses.replace(places, hold=hold)


def claim(places: Places, *, resume: bool = False) -> None:
    """Create a run folder, or take over that of an unfinished run.

    Raises:
        UserError: if the folder holds a finished run, a bundle or, without `resume`, checkpoints; or if it
            can't be written.
        StorageError: if it is in a bucket that can't be read or written.
    """
    run = places.run
    with writable(run.uri):
        if is_finished(places) or run.exists(CARD):
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
            f"cannot write --output ({error.strerror})",
            value=folder,
            hint="choose another folder",
        ) from error


def check_same_settings(places: Places, text: str, *, names: Collection[str]) -> None:
    """Raise UserError if a finished run was started with other options.

    Args:
        places: of the run.
        text: what `run.yaml` would be now.
        names: the options that matter, by their key in it.
    """
    if not places.run.exists(run_config.FILE):
        return
    saved = places.run.fetch(run_config.FILE).read_text(encoding="utf-8")
    before, now = (next(iter(yaml.safe_load(each).values())) for each in (saved, text))
    for name in names:
        if before.get(name) != now.get(name):
            raise UserError(
                f"cannot resume: the run is finished, and its --{name} was {before.get(name)!r}, now it is",
                value=now.get(name),
                hint="give the same options, or another --output",
            )


def write_config(places: Places, text: str) -> None:
    """Write the file that repeats the run; keep that of an earlier process whose work is continued."""
    if not (places.run.exists(run_config.FILE) and _has_progress(places)):
        (places.run.folder / run_config.FILE).write_text(text, encoding="utf-8")
        places.run.publish(run_config.FILE)


def _has_progress(places: Places) -> bool:
    """Whether there is a checkpoint, or a checkpoint or bundle of an ensemble's member."""
    if Checkpoints(places.checkpoints).steps():
        return True
    names = map(pathlib.PurePosixPath, places.run.names(MEMBERS))
    return any(name.match("checkpoints/step-*.npz") or name.match(f"{BUNDLE}/{CARD}") for name in names)


def _probe(places: Places) -> None:
    """Check before the training that the folder can be written."""
    with tempfile.TemporaryFile(dir=places.run.folder):
        pass
    if not isinstance(places.run, LocalPlace):
        (places.run.folder / _CLAIM).write_text(_CLAIM_TEXT, encoding="utf-8")
        places.run.publish(_CLAIM)
