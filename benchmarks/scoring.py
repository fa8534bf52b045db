"""Scores local folders: every contender in turns, scans, digitmill on one core and on all, and its start."""

import functools
import itertools
import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks import predictions, process, scans
from benchmarks.contenders import DIGITMILL, Contender, Model
from benchmarks.results import Run
from benchmarks.workspace import Workspace
from digitmill.machine import cpu_count

FEW: Final = 100
"""Images of a run that takes hardly longer than its start."""


def scoring(
    workspace: Workspace, model: Model, *, contenders: Sequence[Contender], images: int, rounds: int
) -> Iterator[Run]:
    """Yield the runs of all contenders that score so many images, in turns."""
    those = [contender for contender in contenders if images <= contender.most]
    for turn, contender in itertools.product(range(rounds), those):
        yield one(workspace, model, contender, section="scoring", images=images, turn=turn)


def of_scans(
    workspace: Workspace, model: Model, *, contenders: Sequence[Contender], images: int, rounds: int
) -> Iterator[Run]:
    """Yield the runs of contenders on each kind of scan, in turns."""
    for kind, turn, contender in itertools.product(scans.COMPARED, range(rounds), contenders):
        yield one(workspace, model, contender, section="scans", images=images, turn=turn, kind=kind)


def cores(workspace: Workspace, model: Model, *, images: int, rounds: int) -> Iterator[Run]:
    """Yield digitmill's runs on one core and on two, in turns."""
    for turn, count in itertools.product(range(rounds), (1, 2)):
        yield one(workspace, model, DIGITMILL, section="cores", images=images, turn=turn, cores=count)


def start(workspace: Workspace, model: Model, *, rounds: int) -> Iterator[Run]:
    """Yield the runs of the help and of a folder of few images."""
    helping = [sys.executable, "-m", "digitmill", "--help"]
    for turn in range(rounds):
        finished = process.run(helping)
        yield Run(
            section="start",
            model="",
            images=0,
            contender="--help",
            turn=turn,
            cores=cpu_count(),
            pipeline_seconds=math.nan,
            command_seconds=finished.seconds,
            processor_seconds=finished.processor_seconds,
        )
        yield one(workspace, model, DIGITMILL, section="start", images=FEW, turn=turn)


def one(
    workspace: Workspace,
    model: Model,
    contender: Contender,
    *,
    section: str,
    images: int,
    turn: int,
    cores: int | None = None,
    kind: scans.Kind | None = None,
) -> Run:
    """Run one contender once and check its predictions."""
    folder = (
        workspace.images(images, kind.name, functools.partial(scans.write, kind))
        if kind
        else workspace.images(images)
    )
    output = workspace.output(contender.name.replace(" ", "-"))
    # Memory is looked at in the first turn alone, so that the median pays nothing for it.
    finished = process.run(
        contender.command(folder, model, output), cores=cores, memory=process.memory_of if turn == 0 else None
    )
    run = Run(
        section=section,
        model=f"{model.recipe}, {kind.name}" if kind else model.recipe,
        images=images,
        contender=contender.name,
        turn=turn,
        cores=cores or cpu_count(),
        pipeline_seconds=contender.seconds(finished.output, output),
        command_seconds=finished.seconds,
        processor_seconds=finished.processor_seconds,
        peak_bytes=finished.peak_bytes,
        right=predictions.check(output, images),
    )
    shutil.rmtree(output)
    return run
