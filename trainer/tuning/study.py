"""The study: Optuna's sampler and pruner over a journal on disk, which one process at a time holds.

A search that was killed goes on where it was: a trial that was under way is trained again, with what had
been chosen for it.
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
from optuna.trial import FrozenTrial, TrialState

from schemas.errors import UserError
from trainer.run.history import Epoch
from trainer.run.run_folder import writable
from trainer.tuning.trial_results import COMPLETE, FAILED, PRUNED, Trial

JOURNAL: Final = "study.journal"
_LOCK: Final = "study.lock"
_NAME: Final = "digitmill"
_IDENTITY: Final = "identity"
_REPORT: Final = "report"

_STARTUP: Final = 4
"""Trials that are never pruned: a median of fewer says little."""

_GRACE: Final = 2
"""Epoch from which a trial may be pruned: what one is like after the first says little."""

_STATES: Final = {TrialState.COMPLETE: COMPLETE, TrialState.PRUNED: PRUNED, TrialState.FAIL: FAILED}


class Study:
    """The trials of one search, those of earlier processes included.

    Args:
        folder: of the study; held by this process.
        identity: what all its trials have in common, in JSON's types.
        seed: of the sampler.

    Raises:
        UserError: when the study there is of another search.
    """

    def __init__(self, folder: pathlib.Path, identity: Mapping[str, Any], *, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        _cut_torn_line(folder / JOURNAL)
        storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
        self._study = optuna.create_study(
            study_name=_NAME,
            storage=storage,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=_GRACE),
        )
        before = self._study.get_trials(deepcopy=False)
        # Another seed each time: the same one would propose again what it has proposed.
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
                "a search is gone on with as it was begun",
                got=f"another {differing}",
                remedy="name a new folder, or give what was given then",
            )

    def ask(self, distributions: Mapping[str, Any]) -> optuna.Trial:
        """Returns the next trial, with its settings chosen; until it is told, it counts as under way."""
        return self._study.ask(dict(distributions))

    def prune(self, trial: optuna.Trial, epoch: Epoch) -> bool:
        """Notes what an epoch has reached, and returns whether the trial is worse than half of the others."""
        assert epoch.val_accuracy is not None
        trial.report(epoch.val_accuracy, epoch.epoch)
        return trial.should_prune()

    def tell(self, trial: optuna.Trial, found: Trial) -> None:
        """Ends a trial."""
        report = {"val_accuracy": found.val_accuracy, "val_loss": found.val_loss}
        trial.set_user_attr(_REPORT, {**report, "epochs": found.epochs, "seconds": found.seconds})
        state = next(state for state, name in _STATES.items() if name == found.state)
        # A pruned one has its last report for a value.
        self._study.tell(trial, found.val_accuracy if found.state == COMPLETE else None, state=state)

    def trials(self) -> list[Trial]:
        """Returns the trials that have ended, in their order; not those that a kill cut off."""
        ended = (
            trial
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state in _STATES and _REPORT in trial.user_attrs
        )
        # Numbers are those that the search prints: Optuna's count the ones that were cut off, too.
        return [_trial(trial, number) for number, trial in enumerate(ended, start=1)]


def _trial(trial: FrozenTrial, number: int) -> Trial:
    return Trial(number, _STATES[trial.state], dict(trial.params), **trial.user_attrs[_REPORT])


@contextlib.contextmanager
def held(folder: pathlib.Path, *, resume: bool) -> Iterator[None]:
    """Holds a study's folder, as no other process does.

    Raises:
        UserError: when it cannot be written, another process holds it, or it holds a study that is not to
            be gone on with.
    """
    with contextlib.ExitStack() as stack:
        with writable(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((folder / _LOCK).open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    "one process at a time goes on with a search",
                    got=str(folder),
                    remedy="wait for it, or end it",
                ) from error
        if (folder / JOURNAL).exists() and not resume:
            raise UserError(
                "--output holds no search", got=str(folder), remedy="give --resume, or name another folder"
            )
        yield


def _cut_torn_line(journal: pathlib.Path) -> None:
    """Removes what a killed process has left half written: Optuna would write behind it, and read neither."""
    if journal.exists():
        content = journal.read_bytes()
        whole = content.rpartition(b"\n")[0]
        if not content.endswith(b"\n"):
            journal.write_bytes(whole + b"\n" if whole else b"")
