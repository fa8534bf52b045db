"""Opens the models of a run, and stages them in the output for workers on other machines."""

import dataclasses
import os
import pickle
import subprocess
import sys
from typing import Final

from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine_choice import CPU_KINDS, EngineKind
from digitmill.engines.engine_timing import FASTEST, is_worth_comparing, with_engine
from digitmill.imaging.guard import module_path
from digitmill.storage import OutputFolder
from pipelines.score_options import ScoreOptions
from schemas.layout import staged_model
from schemas.run_plan import RunPlan

_TIMING: Final = (sys.executable, "-P", "-m", "digitmill.engines.engine_timing")


def open_bundles(
    options: ScoreOptions,
    *,
    begun: RunPlan | None = None,
    compare: bool = False,
    images: int | None = None,
) -> tuple[Bundle, Bundle | None]:
    """Open and check the bundles of a run's model and of its challenger, if there is one.

    Args:
        options: the run's options.
        begun: the plan of a resumed run; it keeps its engine, so that its output is the same to the byte.
        compare: whether `auto` measures the engines and takes the fastest.
        images: number of images to score, if they may be too few for a comparison; None for many.

    Raises:
        UserError: when a bundle is missing, damaged, or has no model for the engine.
    """
    challenger = open_bundle(options.challenger, options.engine) if options.challenger else None
    if options.engine != EngineKind.AUTO:
        return open_bundle(options.model, options.engine), challenger
    opened = open_bundle(options.model)
    if begun is None:
        return fastest(opened, images=images) if compare else opened, challenger
    kept = begun.settings.get("engine")
    if kept in CPU_KINDS and kept != opened.engine.kind:
        other = open_bundle(options.model, str(kept))
        opened = dataclasses.replace(other, engine=dataclasses.replace(other.engine, reason=FASTEST))
    return opened, challenger


def fastest(opened: Bundle, *, images: int | None) -> Bundle:
    """Return the bundle with the fastest engine of this machine, as a process of its own finds it.

    This process would keep the memory of each engine that it has tried. If an engine kills that process, the
    bundle keeps its default.
    """
    if not is_worth_comparing(opened, images=images):
        return opened
    environment = os.environ | {"PYTHONPATH": module_path()}
    timing = subprocess.run(
        _TIMING,
        input=pickle.dumps(opened),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        check=False,
    )
    words = timing.stdout.decode().split()
    found = EngineKind(words[-1]) if timing.returncode == 0 and words else opened.engine.kind
    return opened if found is opened.engine.kind else with_engine(opened, found)


def stage_bundle(bundle: Bundle, output: OutputFolder) -> Bundle:
    """Copy the files that a bundle's engine needs into an output, if missing; return the copied bundle.

    Workers on other machines can reach the output, but not the launcher's disk, and maybe not the user's
    model bucket. They compare what they load with the digests in the card, which is part of their task.
    """
    for name in bundle.engine_files:
        output.write_once(staged_model(bundle.digest, name), bundle.read(name))
    return dataclasses.replace(bundle, place=output.at(staged_model(bundle.digest)))
