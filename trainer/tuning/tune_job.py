"""Hyperparameter search: trains trials of a recipe and keeps the best settings."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Mapping
from typing import Any

import keras
import optuna
import tensorflow as tf

from digitmill.commands import run_config
from digitmill.machine import cpu_count
from digitmill.storage import open_folder
from schemas.errors import StoppedError, UserError, counted
from trainer import recipes
from trainer.bundle.initial_weights import load_teacher
from trainer.cluster import devices, tf_config
from trainer.data.reading import ReadOptions
from trainer.data.rejects import Rejects
from trainer.data.sources.source_specs import open_sources
from trainer.data.splits import Digits
from trainer.job import hypertune, training
from trainer.loop.actions.preemption import PreemptedError
from trainer.loop.actions.watchdog import DivergedError
from trainer.loop.training_loop import Trainer
from trainer.recipes.parts import overrides, search_space
from trainer.run.history import Epoch, best_epoch
from trainer.train_options import TrainOptions
from trainer.tuning import plots, processes, trial_results
from trainer.tuning.study import JOURNAL, Study, make_folder, read_trials
from trainer.tuning.tune_options import TuneOptions


def run(options: TuneOptions) -> str:
    """Train the remaining trials; write table, plot and best settings after each; return a summary.

    Machines and processes with the same folder share the trials.

    Raises:
        UserError: if an option or the data can't be used.
        PreemptedError, StoppedError: after SIGTERM or Ctrl-C; `--resume` continues the search.
    """
    if tf_config.read(os.environ).workers > 1:
        raise UserError(
            "tuning runs on one machine, but TF_CONFIG names several workers",
            value="TF_CONFIG",
            hint="unset it: machines that have the same --output share the trials",
        )
    recipe = recipes.load(options.train.recipe)
    if not recipe.search:
        raise UserError(
            "the recipe has no search space", value=options.train.recipe, hint="choose another one"
        )
    make_folder(options.output, resume=options.resume)
    # The flags of an attempt that ended before the search began may have been wrong.
    if not all((options.output / name).exists() for name in (JOURNAL, run_config.FILE)):
        folder = open_folder(str(options.output))
        folder.claim()
        folder.replace(run_config.FILE, options.run_config().encode())
    try:
        if options.parallel > 1:
            _search_in_processes(options)
        else:
            _search_in_folder(options)
        return _summary(options, read_trials(options.output))
    except PreemptedError:
        raise PreemptedError(_resume_message(options)) from None
    except KeyboardInterrupt:
        if options.parallel > 1:
            raise PreemptedError(_resume_message(options)) from None
        # Between trainings, while reading data or writing results, no loop handles signals.
        raise StoppedError(_resume_message(options)) from None


def _resume_message(options: TuneOptions) -> str:
    return f"stopped; finished trials are kept. Resume with: {options.command(resume=True)}"


def _search_in_processes(options: TuneOptions) -> None:
    """Train the remaining trials in processes, which share the study as several machines would."""
    devices.check_devices(None, require_gpus=options.require_gpus)
    environments = processes.shares(
        options.parallel, gpus=len(devices.gpus()), cores=cpu_count(), replicas=options.replicas
    )
    # Each sees its own GPUs only.
    one = dataclasses.replace(options, parallel=1, resume=True, require_gpus=None)
    processes.run(_search_in_folder, one, environments)


def _search_in_folder(options: TuneOptions) -> None:
    """Train the remaining trials, one after the other, beside other processes that train some."""
    recipe = recipes.load(options.train.recipe)
    strategy = training.start_devices(options.train)
    digits = _read(options.train, strategy)
    images = len(digits.train)
    replicas = strategy.num_replicas_in_sync
    searched = search_space.without_invalid_batches(recipe.search, replicas=replicas, images=images)
    identity = _identity(options.train, searched, digits)
    with contextlib.closing(Study(options.output, identity, seed=options.train.seed)) as study:
        _search(options, study, searched, digits=digits, strategy=strategy)


def _read(train: TrainOptions, strategy: tf.distribute.Strategy) -> Digits:
    rejects = Rejects(max_rate=train.max_bad_rate)
    reading = ReadOptions(rejects, cache_dir=train.cache_dir, data_dir=train.data_dir)
    source = open_sources(train.data, reading)
    digits = training.read_data(train, source, training.effective_recipe(train, strategy), strategy=strategy)
    if digits.validation is None:
        # Choosing by the test split would overestimate the accuracy.
        raise UserError("tuning needs held-out images", value=train.data, hint="give data with more images")
    return digits


def _identity(train: TrainOptions, searched: search_space.Space, digits: Digits) -> dict[str, Any]:
    fixed = {name: value for name, value in overrides.given(train).items() if name not in searched}
    return {
        "recipe": train.recipe,
        "data": digits.train_digest,
        "seed": train.seed,
        "settings": fixed,
        "search space": {name: dataclasses.asdict(values) for name, values in searched.items()},
    }


def _search(
    options: TuneOptions,
    study: Study,
    searched: search_space.Space,
    *,
    digits: Digits,
    strategy: tf.distribute.Strategy,
) -> None:
    distributions = search_space.distributions(searched)
    while (trial := study.ask(distributions, trials=options.trials)) is not None:
        title = f"trial {study.number(trial)}/{options.trials}"
        chosen = ", ".join(f"{name} {_format(value)}" for name, value in trial.params.items())
        print(f"{title}: {chosen}", flush=True)
        train = dataclasses.replace(options.train, **trial.params)
        # If preempted, the trial isn't recorded, and is restarted with the same settings.
        found = _train(train, study, trial, digits=digits, strategy=strategy)
        study.tell(trial, found)
        with study.locked():
            _write(options, study.trials(), list(searched))
        print(f"{title}: {_describe(found)}", flush=True)


def _train(
    train: TrainOptions,
    study: Study,
    trial: optuna.Trial,
    *,
    digits: Digits,
    strategy: tf.distribute.Strategy,
) -> trial_results.Trial:
    # Keras keeps the graphs of all earlier networks.
    keras.utils.clear_session()
    history: list[Epoch] = []
    state, began = trial_results.COMPLETE, time.monotonic()
    recipe = training.effective_recipe(train, strategy)
    teacher = load_teacher(recipe.teacher)
    trainer = Trainer(recipe, digits, strategy=strategy, seed=train.seed, teacher=teacher)
    with contextlib.closing(trainer.epochs()) as epochs:
        try:
            for epoch in hypertune.report_epochs(epochs, chief=True):
                history.append(epoch)
                if study.prune(trial, epoch) and epoch.epoch < recipe.epochs:
                    state = trial_results.PRUNED
                    break
        except DivergedError:
            state = trial_results.FAILED
    kept = history[best_epoch(history) - 1 if recipe.patience else -1] if history else None
    return trial_results.Trial(
        number=study.number(trial),
        state=state,
        settings=dict(trial.params),
        val_accuracy=kept.val_accuracy if kept else None,
        val_loss=kept.val_loss if kept else None,
        epochs=len(history),
        seconds=round(time.monotonic() - began, 3),
    )


def _write(options: TuneOptions, trials: list[trial_results.Trial], names: list[str]) -> None:
    folder = open_folder(str(options.output))
    folder.replace(trial_results.TABLE, trial_results.table(trials, names).encode())
    folder.replace(plots.FILE, plots.draw(trials, names))
    if (best := trial_results.best(trials)) is not None:
        folder.replace(trial_results.BEST, trial_results.config(options.train, best.settings).encode())


def _describe(found: trial_results.Trial) -> str:
    accuracy = "no epoch" if found.val_accuracy is None else f"val accuracy {found.val_accuracy:.2%}"
    return f"{accuracy}, {found.state} after {counted(found.epochs, 'epoch')}, {found.seconds:.1f} s"


def _format(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _summary(options: TuneOptions, trials: list[trial_results.Trial]) -> str:
    states = [trial.state for trial in trials]
    best = trial_results.best(trials)
    ended = f"{states.count(trial_results.PRUNED)} pruned, {states.count(trial_results.FAILED)} failed"
    lines = {"trials": f"{len(trials)} ({ended})"}
    if best is not None:
        settings: Mapping[str, Any] = best.settings
        lines |= {
            "best": f"trial {best.number}, {_describe(best)}",
            "settings": ", ".join(f"{name} {_format(value)}" for name, value in settings.items()),
            "train it": f"digitmill train --config {options.output / trial_results.BEST} --output DIR",
        }
    lines |= {
        "trials by row": str(options.output / trial_results.TABLE),
        "plot": str(options.output / plots.FILE),
    }
    return "\n".join(f"{name:<14} {value}" for name, value in lines.items())
