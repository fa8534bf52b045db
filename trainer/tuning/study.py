"""The study of a search: Optuna's sampler and pruner, with a journal on disk.

One process at a time uses a study. A killed search resumes: its unfinished trial is trained again with the
same settings.
"""

import contextlib
import fcntl
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from schemas.errors import UserError
from trainer.run.history import Epoch
from trainer.run.run_folder import writable
from trainer.tuning.trial_results import COMPLETE, FAILED, PRUNED, Trial

JOURNAL: Final = "study.journal"
_LOCK: Final = "study.lock"
_NAME: Final = "digitmill"
_IDENTITY: Final = "identity"
_REPORT: Final = "report"

_STARTUP_TRIALS: Final = 4
"""First trials, which are never pruned: the median of fewer says little."""

_WARMUP_EPOCHS: Final = 2
"""Epoch from which a trial may be pruned: the first says little."""

_STATES: Final = {TrialState.COMPLETE: COMPLETE, TrialState.PRUNED: PRUNED, TrialState.FAIL: FAILED}


class Study:
    """The trials of one search, including earlier processes'; raises UserError if they are another's.

    Args:
        folder: the study's folder, locked by this process.
        identity: what all trials have in common, to check on resume; JSON types.
        seed: the sampler's seed.
    """

    def __init__(self, folder: pathlib.Path, identity: Mapping[str, Any], *, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        _drop_torn_line(folder / JOURNAL)
        storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
        self._study = optuna.create_study(
            study_name=_NAME,
            storage=storage,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=_STARTUP_TRIALS, n_warmup_steps=_WARMUP_EPOCHS
            ),
        )
        before = self._study.get_trials(deepcopy=False)
        # With the same seed, a resumed search would repeat its proposals.
        self._study.sampler = optuna.samplers.TPESampler(seed=(seed + len(before)) % 2**32)
        self._check(identity)
        for trial in before:
            if trial.state == TrialState.RUNNING:
                self._study.tell(trial.number, state=TrialState.FAIL)
                self._study.enqueue_trial(trial.params)

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

    def ask(self, distributions: Mapping[str, Any]) -> optuna.Trial:
        """Return the next trial, with its settings chosen; it runs until `tell`."""
        return self._study.ask(dict(distributions))

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
        """Return the finished trials in order, without killed ones."""
        ended = (
            trial
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state in _STATES and _REPORT in trial.user_attrs
        )
        # Numbered as printed: Optuna's numbers include killed trials.
        return [
            Trial(number, _STATES[trial.state], dict(trial.params), **trial.user_attrs[_REPORT])
            for number, trial in enumerate(ended, start=1)
        ]


@contextlib.contextmanager
def locked_folder(folder: pathlib.Path, *, resume: bool) -> Iterator[None]:
    """Context that creates a study's folder and locks it against other processes.

    Raises:
        UserError: if it can't be written, another process has locked it, or, without `resume`, it holds a
            study.
    """
    with contextlib.ExitStack() as stack:
        with writable(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((folder / _LOCK).open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    "another process is running this search",
                    value=str(folder),
                    hint="wait for it, or end it",
                ) from error
        if (folder / JOURNAL).exists() and not resume:
            raise UserError(
                "--output holds a search", value=str(folder), hint="give --resume, or name another folder"
            )
        yield


def _drop_torn_line(journal: pathlib.Path) -> None:
    """Remove a line that a killed process left incomplete: Optuna would append to it and read neither."""
    if journal.exists():
        content = journal.read_bytes()
        whole = content.rpartition(b"\n")[0]
        if not content.endswith(b"\n"):
            journal.write_bytes(whole + b"\n" if whole else b"")
