"""Checkpoints: everything that a training needs to go on, in one file that is there whole or not at all.

A file is a NumPy archive, whose zip checksums tell any damage. Not `tf.train.CheckpointManager`: its
several files are complete only together, every worker has to take part in writing them, and in a
bucket TensorFlow neither verifies them nor knows an emulator.
"""

import dataclasses
import json
import os
import pathlib
import re
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from schemas.errors import UserError
from trainer.run.run_location import Place

_RECORD: Final = "record"
_NAME: Final = re.compile(r"step-(\d{10})\.npz")


class DamagedError(Exception):
    """A checkpoint's file cannot be read; a one-line reason."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A training at one moment.

    Attributes:
        step: steps done since the training's beginning.
        record: all that is no array: history, sums of the epoch under way; JSON's types.
        arrays: weights, optimizer's variables, random states, by name.
    """

    step: int
    record: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


def file_name(step: int) -> str:
    """Returns the name of a step's checkpoint; names sort as steps do."""
    return f"step-{step:010d}.npz"


def write(checkpoint: Checkpoint, file: pathlib.Path) -> None:
    """Writes a checkpoint's file, which appears when it is complete and on the disk."""
    # The arrays' names too: a damaged directory of the archive loses some without a word.
    named = {"step": checkpoint.step, "arrays": sorted(checkpoint.arrays), **checkpoint.record}
    text = json.dumps(named).encode()
    members: dict[str, Any] = {_RECORD: np.frombuffer(text, np.uint8), **checkpoint.arrays}
    descriptor, part = tempfile.mkstemp(prefix=".part-", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            np.savez(opened, allow_pickle=False, **members)
            opened.flush()
            # Before the name: after a power cut a name must not stand for an empty file.
            os.fsync(opened.fileno())
        pathlib.Path(part).replace(file)
    finally:
        pathlib.Path(part).unlink(missing_ok=True)


def read(file: pathlib.Path) -> Checkpoint:
    """Reads a checkpoint's file.

    Raises:
        DamagedError: when a byte of it is missing or changed.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if (broken := archive.testzip()) is not None:
                raise DamagedError(f"the checksum of {broken} is wrong")
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        record = json.loads(found.pop(_RECORD).tobytes())
        if record.pop("arrays") != sorted(found):
            raise DamagedError("it holds other arrays than it says")
        return Checkpoint(record.pop("step"), record, found)
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,  # zipfile's, where a flipped bit says that a member is encrypted
    ) as error:
        raise DamagedError(" ".join(str(error).split())[:100] or type(error).__name__) from error


class Checkpoints:
    """The checkpoints of one run.

    Args:
        place: where they are.
        keep: how many of the newest stay; more than one, so that one may be damaged.
    """

    def __init__(self, place: Place, *, keep: int = 3) -> None:
        self._place = place
        self._keep = keep
        self.newest: str | None = None

    def save(self, checkpoint: Checkpoint) -> str:
        """Writes a checkpoint, then removes the oldest; returns the full name."""
        self._place.folder.mkdir(parents=True, exist_ok=True)
        name = file_name(checkpoint.step)
        write(checkpoint, self._place.folder / name)
        self._place.publish(name)
        # Not those beyond: they are damaged, or of a training that went on from an older one.
        steps = [step for step in self.steps() if step <= checkpoint.step]
        for step in steps[: -self._keep]:
            self._place.remove(file_name(step))
        self.newest = self._place.at(name)
        return self.newest

    def steps(self) -> list[int]:
        """Returns the steps that there are checkpoints of, ascending."""
        matches = (_NAME.fullmatch(name) for name in self._place.names())
        return sorted(int(match[1]) for match in matches if match)

    def load(self, step: int) -> Checkpoint:
        """Returns a step's checkpoint.

        Raises:
            UserError: when it cannot be read.
        """
        try:
            return read(self._place.fetch(file_name(step)))
        except DamagedError as error:
            raise UserError(
                "every worker reads the chief's checkpoint",
                got=self._place.at(file_name(step)),
                remedy=f"put the run folder where all workers see it: {error}",
            ) from error

    def load_newest(self) -> Checkpoint | None:
        """Returns the newest checkpoint that is whole; names damaged ones on the way; None without any."""
        for step in reversed(self.steps()):
            try:
                found = read(self._place.fetch(file_name(step)))
            except DamagedError as error:
                where = self._place.at(file_name(step))
                print(f"warning: {where} is damaged ({error}); going back to the one before", file=sys.stderr)
                continue
            self.newest = self._place.at(file_name(step))
            return found
        return None


@dataclasses.dataclass(frozen=True)
class Saving:
    """What a training is saved to.

    Attributes:
        checkpoints: where; None for nowhere.
        every: steps from one checkpoint to the next; None for one an epoch.
        identity: what must be the same in a process that goes on; JSON's types.
    """

    checkpoints: Checkpoints | None = None
    every: int | None = None
    identity: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def check_identity(saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses a checkpoint of a training that was told something else.

    Raises:
        UserError: with the first thing that differs.
    """
    different = sorted(name for name in saved.keys() | now.keys() if saved.get(name) != now.get(name))
    if different:
        name = different[0]
        raise UserError(
            f"a resumed run is told what the run was told before, {name} = {saved.get(name)!r}",
            got=now.get(name),
            remedy="give the same options, or another --output",
        )
