"""Checkpoints: everything a training needs to resume, in one file that appears complete or not at all.

A file is a NumPy archive, whose zip checksums detect damage. `tf.train.CheckpointManager` writes several
files that are only complete together, needs all workers to write them, and in a bucket TensorFlow doesn't
verify them.
"""

import dataclasses
import json
import os
import pathlib
import re
import secrets
import sys
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from schemas.errors import UserError, reason_of
from trainer.run.run_location import Place

_RECORD: Final = "record"
_NAME: Final = re.compile(r"step-(\d{10})\.npz")


class CorruptCheckpointError(Exception):
    """A checkpoint file can't be read; the message is a one-line reason."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The state of a training.

    Attributes:
        step: steps done since the training began.
        record: everything but arrays, such as the history; JSON types.
        arrays: variables of model and optimizer, by name.
    """

    step: int
    record: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


def file_name(step: int) -> str:
    """Return the file name of a step's checkpoint; names sort by step."""
    return f"step-{step:010d}.npz"


def write(checkpoint: Checkpoint, file: pathlib.Path) -> None:
    """Write a checkpoint file, which appears when it is complete and on disk."""
    # With the names of the arrays: a damaged zip directory silently loses some.
    named = {"step": checkpoint.step, "arrays": sorted(checkpoint.arrays), **checkpoint.record}
    text = json.dumps(named).encode()
    members: dict[str, Any] = {_RECORD: np.frombuffer(text, np.uint8), **checkpoint.arrays}
    # By open, whose files have the mode that the umask allows: mkstemp's are private.
    part = file.with_name(f".part-{secrets.token_hex(8)}")
    try:
        with part.open("xb") as opened:
            np.savez(opened, allow_pickle=False, **members)
            opened.flush()
            # Before the rename: after a power cut, the name must not refer to an empty file.
            os.fsync(opened.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def read(file: pathlib.Path) -> Checkpoint:
    """Read a checkpoint file; raise CorruptCheckpointError if a byte is missing or changed."""
    try:
        with zipfile.ZipFile(file) as archive:
            if (broken := archive.testzip()) is not None:
                raise CorruptCheckpointError(f"the checksum of {broken} is wrong")
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        record = json.loads(found.pop(_RECORD).tobytes())
        if record.pop("arrays") != sorted(found):
            raise CorruptCheckpointError("its arrays differ from its list of them")
        return Checkpoint(record.pop("step"), record, found)
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,  # from zipfile, also if a flipped bit marks a member as encrypted
    ) as error:
        raise CorruptCheckpointError(" ".join(reason_of(error).split())[:100]) from error


class Checkpoints:
    """The checkpoints of one run.

    Args:
        place: their folder.
        keep: number of newest checkpoints to keep; more than one, in case one is damaged.

    Attributes:
        newest: full name of the newest checkpoint that was saved or loaded; None before.
    """

    def __init__(self, place: Place, *, keep: int = 3) -> None:
        self._place = place
        self._keep = keep
        self.newest: str | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove the oldest."""
        self._place.folder.mkdir(parents=True, exist_ok=True)
        name = file_name(checkpoint.step)
        write(checkpoint, self._place.folder / name)
        self._place.publish(name)
        # Later steps are ignored: they are damaged, or left by a training that resumed before them.
        steps = [step for step in self.steps() if step <= checkpoint.step]
        for step in steps[: -self._keep]:
            self._place.remove(file_name(step))
        self.newest = self._place.at(name)

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, ascending."""
        matches = (_NAME.fullmatch(name) for name in self._place.names())
        return sorted(int(match[1]) for match in matches if match)

    def load(self, step: int) -> Checkpoint:
        """Return the checkpoint of a step; raise UserError if it can't be read."""
        try:
            return read(self._place.fetch(file_name(step)))
        except CorruptCheckpointError as error:
            raise UserError(
                "cannot read the chief's checkpoint",
                value=self._place.at(file_name(step)),
                hint=f"put the run folder where all workers can read it ({error})",
            ) from error

    def load_newest(self) -> Checkpoint | None:
        """Return the newest readable checkpoint, warning of damaged ones; None if there is none."""
        for step in reversed(self.steps()):
            try:
                found = read(self._place.fetch(file_name(step)))
            except CorruptCheckpointError as error:
                where = self._place.at(file_name(step))
                print(f"warning: {where} is damaged ({error}); trying the one before", file=sys.stderr)
                continue
            self.newest = self._place.at(file_name(step))
            return found
        return None


@dataclasses.dataclass(frozen=True)
class CheckpointOptions:
    """Where and how often a training is saved.

    Attributes:
        checkpoints: of the run; None to save nothing.
        every_steps: steps between two checkpoints; None for one per epoch.
        identity: what a resumed training must have in common; JSON types.
    """

    checkpoints: Checkpoints | None = None
    every_steps: int | None = None
    identity: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def check_identity(saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise UserError, naming the first setting that differs, for a checkpoint of another training."""
    different = sorted(name for name in saved.keys() | now.keys() if saved.get(name) != now.get(name))
    if different:
        name = different[0]
        raise UserError(
            f"cannot resume: {name} was {saved.get(name)!r} before, now it is",
            value=now.get(name),
            hint="give the same options, or another --output",
        )
