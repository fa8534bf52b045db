"""The study of a search: Optuna's sampler and pruner, with a journal on disk.

Several processes, also of several machines that share the folder, may train a study's trials. A killed
search resumes: its unfinished trials are trained again with the same settings.
"""

import contextlib
import fcntl
import itertools
import json
import os
import pathlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from schemas.errors import UserError
from trainer.run.history import Epoch
from trainer.run.run_folder import writable
from trainer.tuning.trial_results import COMPLETE, FAILED, PRUNED, Trial

JOURNAL: Final = "study.journal"
_LOCK: Final = "study.lock"
_PROCESS: Final = "process"
_NAME: Final = "digitmill"
_IDENTITY: Final = "identity"
_REPORT: Final = "report"
_NUMBER: Final = "number"

_STARTUP_TRIALS: Final = 4
"""First trials, which are never pruned: the median of fewer says little."""

_WARMUP_EPOCHS: Final = 2
"""Epoch from which a trial may be pruned: the first says little."""

_STATES: Final = {TrialState.COMPLETE: COMPLETE, TrialState.PRUNED: PRUNED, TrialState.FAIL: FAILED}


class Study:
    """The trials of one search, including other processes' trials.

    Raises UserError if the folder has the trials of another search.

    Args:
        folder: the study's folder, on a disk that all its processes share.
        identity: what all trials have in common, to check on resume; JSON types.
        seed: the sampler's seed.
    """

    def __init__(self, folder: pathlib.Path, identity: Mapping[str, Any], *, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._folder, self._seed = folder, seed
        journal = str(folder / JOURNAL)
        with self.locked():
            self._study = optuna.create_study(
                study_name=_NAME,
                storage=JournalStorage(JournalFileBackend(journal, lock_obj=_JournalLock(journal))),
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(
                    n_startup_trials=_STARTUP_TRIALS, n_warmup_steps=_WARMUP_EPOCHS
                ),
            )
            self._check(identity)
            self._process = _Process.start(folder)

    def close(self) -> None:
        """Leave the study, and release a trial that this process has not finished to other processes."""
        self._process.end()

    def _check(self, identity: Mapping[str, Any]) -> None:
        given = json.loads(json.dumps(identity))
        known = self._study.user_attrs.get(_IDENTITY)
        if known is None:
            self._study.set_user_attr(_IDENTITY, given)
        elif known != given:
            differing = ", ".join(name for name in {**known, **given} if known.get(name) != given.get(name))
            raise UserError(
                "cannot resume: the search was started with other options",
                value=differing,
                hint="give the same options, or name a new folder",
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Context in which no other process starts a trial or writes results."""
        with (self._folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def ask(self, distributions: Mapping[str, Any], *, trials: int) -> optuna.Trial | None:
        """Return the next trial, with its settings chosen; it runs until `tell`.

        Args:
            distributions: the settings' distributions.
            trials: number of trials of the whole search.

        Returns:
            None if that many trials are finished or running.
        """
        with self.locked():
            known = self._study.get_trials(deepcopy=False)
            for trial in known:
                if trial.state == TrialState.RUNNING and not self._is_alive(trial):
                    self._study.tell(trial.number, state=TrialState.FAIL)
                    self._study.enqueue_trial(trial.params)
            numbers = {trial.number for trial in self.trials()}
            numbers |= {trial.user_attrs[_NUMBER] for trial in known if self._is_alive(trial)}
            if len(numbers) >= trials:
                return None
            number = next(number for number in itertools.count(1) if number not in numbers)
            # Seeded by trial: processes don't propose the same, and a resumed search proposes what it would
            # have, also after a trial that was killed.
            self._study.sampler = optuna.samplers.TPESampler(seed=(self._seed + number - 1) % 2**32)
            asked = self._study.ask(dict(distributions))
            asked.set_user_attr(_PROCESS, self._process.name)
            asked.set_user_attr(_NUMBER, number)
            return asked

    def _is_alive(self, trial: FrozenTrial) -> bool:
        """Whether a process is training the trial; one that was killed before it said so is not."""
        if trial.state != TrialState.RUNNING or _NUMBER not in trial.user_attrs:
            return False
        name = trial.user_attrs[_PROCESS]
        # On NFS a process may get the lock that it has.
        return name == self._process.name or _Process(self._folder, name).is_alive()

    @staticmethod
    def number(trial: optuna.Trial) -> int:
        """Return a trial's number in the search, from 1: Optuna's includes killed trials."""
        return int(trial.user_attrs[_NUMBER])

    def prune(self, trial: optuna.Trial, epoch: Epoch) -> bool:
        """Record an epoch's accuracy, and return whether the trial is below the median of the others."""
        assert epoch.val_accuracy is not None
        trial.report(epoch.val_accuracy, epoch.epoch)
        return trial.should_prune()

    def tell(self, trial: optuna.Trial, found: Trial) -> None:
        """Record the result of a trial."""
        report = {"val_accuracy": found.val_accuracy, "val_loss": found.val_loss}
        trial.set_user_attr(_REPORT, {**report, "epochs": found.epochs, "seconds": found.seconds})
        state = next(state for state, name in _STATES.items() if name == found.state)
        # Optuna takes a pruned trial's last report as its value.
        self._study.tell(trial, found.val_accuracy if found.state == COMPLETE else None, state=state)

    def trials(self) -> list[Trial]:
        """Return the finished trials by number, without killed ones."""
        return _trials(self._study)


def read_trials(folder: pathlib.Path) -> list[Trial]:
    """Return the finished trials of the study in a folder."""
    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    return _trials(optuna.load_study(study_name=_NAME, storage=storage))


def _trials(study: optuna.Study) -> list[Trial]:
    ended = (
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in _STATES and _REPORT in trial.user_attrs
    )
    found = [
        Trial(
            # In journals of earlier versions a trial has no number but its place.
            trial.user_attrs.get(_NUMBER, place),
            _STATES[trial.state],
            dict(trial.params),
            **trial.user_attrs[_REPORT],
        )
        for place, trial in enumerate(ended, start=1)
    ]
    return sorted(found, key=lambda trial: trial.number)


class _Process:
    """A process that trains trials; a lock on a file of its own tells others that it is alive.

    The kernel drops the lock however the process ends, and a file server the locks of a machine that is gone.
    """

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self.name = name
        self._file = folder / f"{name}.process"
        self._descriptor: int | None = None

    @classmethod
    def start(cls, folder: pathlib.Path) -> "_Process":
        """Return this process, alive until `end`."""
        process = cls(folder, uuid.uuid4().hex)
        process._descriptor = os.open(process._file, os.O_CREAT | os.O_RDWR, 0o666)
        fcntl.flock(process._descriptor, fcntl.LOCK_EX)
        return process

    def end(self) -> None:
        """Remove the mark of this process."""
        if self._descriptor is not None:
            self._file.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def is_alive(self) -> bool:
        """Whether the process runs, on any machine; removes the file of one that doesn't."""
        try:
            descriptor = os.open(self._file, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            self._file.unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)


class _JournalLock(JournalFileOpenLock):
    """Lock of the journal, whose holder first removes a line that a killed process left incomplete.

    Optuna would append to that line, and read neither.
    """

    def __init__(self, journal: str) -> None:
        super().__init__(journal)
        self._journal = pathlib.Path(journal)

    def acquire(self) -> bool:
        acquired = super().acquire()
        with self._journal.open("r+b") as opened:
            if opened.seek(0, os.SEEK_END):
                opened.seek(-1, os.SEEK_END)
                if opened.read(1) != b"\n":
                    opened.truncate(self._journal.read_bytes().rfind(b"\n") + 1)
        return acquired


def make_folder(folder: pathlib.Path, *, resume: bool) -> None:
    """Create a study's folder.

    Raises:
        UserError: if it can't be written or, without `resume`, it holds a study.
    """
    with writable(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _LOCK).touch()
    if (folder / JOURNAL).exists() and not resume:
        raise UserError(
            "--output already holds a search", value=str(folder), hint="give --resume, or name another folder"
        )
