"""Measures digitmill beside what its users would otherwise use, in one run on one machine.

Usage: python -m benchmarks [--quick] [--only PART] [--publish] [--folder build/bench]

Prints tables, and writes the runs as CSV, the machine as JSON and a plot into FOLDER/results. Every
contender is a process of its own; all take turns. --publish puts the results into docs/benchmarks and
their figures into docs/benchmarks.md and README.md.
"""

import argparse
import dataclasses
import itertools
import json
import pathlib
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from benchmarks import buckets, machine, page, plot, process, results, scoring, tables, targets, training
from benchmarks.contenders import ALL, DIGITMILL, MODELS, PLAIN_KERAS, STOCK_BEAM, Contender, Model, installed
from benchmarks.results import Results, Run
from benchmarks.workspace import Workspace, source

PARTS: Final = ("start", "scoring", "scans", "cores", "buckets", "training", "stages")


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        images: of the folders to score, ascending.
        rounds: number of runs of each contender.
        scans: images of each kind of scan.
        buckets: images of `benchmarks.buckets.buckets`.
        epochs: for each recipe that is trained, the images of an epoch.
    """

    images: tuple[int, ...]
    rounds: int
    scans: int
    buckets: Mapping[str, int]
    epochs: Mapping[str, int]


FULL: Final = Effort(
    (10_000, 60_000),
    5,
    5_000,
    {"large": 5_000, "stock": 1_000, "small": 100},
    {"dense-300-100": 30_000, "cnn": 6_000},
)
QUICK: Final = Effort(
    (2_000,), 1, 500, {"large": 2_000, "stock": 200, "small": 100}, {"dense-300-100": 4_000}
)


def measured(
    parts: Collection[str],
    effort: Effort,
    workspace: Workspace,
    *,
    models: Sequence[Model],
    contenders: Sequence[Contender],
) -> Iterator[Run]:
    """Yield every run of the selected parts, each as soon as it has ended."""
    first, last, rounds = models[0], models[-1], effort.rounds
    if "start" in parts:
        yield from scoring.start(workspace, first, rounds=rounds)
    for images, model in itertools.product(effort.images if "scoring" in parts else (), models):
        yield from scoring.scoring(workspace, model, contenders=contenders, images=images, rounds=rounds)
    if "scans" in parts:
        peers = [one for one in contenders if one.name in (DIGITMILL.name, PLAIN_KERAS.name)]
        yield from scoring.of_scans(workspace, first, contenders=peers, images=effort.scans, rounds=rounds)
    if "cores" in parts:
        # The slower network: there the engine is what cores share.
        yield from scoring.cores(workspace, last, images=effort.images[-1], rounds=rounds)
    if "buckets" in parts and buckets.program() and STOCK_BEAM.installed:
        yield from buckets.buckets(workspace, first, **effort.buckets, rounds=rounds)
    for recipe, images in effort.epochs.items() if "training" in parts else ():
        yield from training.training(recipe, images=images, rounds=rounds)


def main() -> None:
    arguments = _arguments()
    folder = arguments.folder / "results"
    folder.mkdir(parents=True, exist_ok=True)
    described = machine.describe(source())
    if machine.busy(described):
        _say(f"this machine is busy (load {described['load']}): its figures compare with no others")
        if arguments.publish:
            sys.exit("cannot publish: end other work, wait until the load is low, and measure again")
    lacking = missing()
    for line in lacking:
        _say(line)
    if lacking and arguments.publish:
        sys.exit("cannot publish: some contenders are missing")
    workspace = Workspace(arguments.folder)
    models = [workspace.trained(model).with_engine() for model in MODELS]
    described["engines"] = {model.recipe: model.engine for model in models}
    runs = []
    for run in measured(
        arguments.only or PARTS,
        QUICK if arguments.quick else FULL,
        workspace,
        models=models,
        contenders=installed(),
    ):
        _say(_line(run))
        runs.append(run)
    results.write(folder / results.FILE, runs)
    (folder / machine.FILE).write_text(json.dumps(described, indent=2) + "\n")
    if "stages" in (arguments.only or PARTS):
        _write_stages(folder)
    _show(folder)
    if arguments.publish:
        page.keep(folder)
        page.write()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer images and one round: minutes")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be repeated")
    parser.add_argument("--publish", action="store_true", help="fill the pages from these results")
    parser.add_argument("--folder", type=pathlib.Path, default=process.ROOT / "build" / "bench")
    arguments = parser.parse_args()
    # Commands run in the project's folder, wherever this one runs.
    arguments.folder = arguments.folder.resolve()
    if arguments.publish and (arguments.quick or arguments.only):
        parser.error("only a whole run is published")
    return arguments


def missing() -> list[str]:
    """Return a line for each part that cannot be measured here."""
    lines = [f"{one.name} is left out: install digitmill[bench]" for one in ALL if not one.installed]
    if not buckets.program():
        lines.append("object storage is left out: `make tools` builds the emulator")
    return lines


def _line(run: Run) -> str:
    return (
        f"{run.section} {run.model} {run.images:,} images, round {run.turn + 1}, {run.contender}: "
        f"{run.pipeline_seconds:.2f} s, whole command {run.command_seconds:.2f} s"
    )


def _write_stages(folder: pathlib.Path) -> None:
    _say("stages")
    (folder / page.STAGES).write_text(process.run([sys.executable, "-m", "benchmarks.stages"]).output)


def _show(folder: pathlib.Path) -> None:
    """Print all tables of a folder of results and draw its plot."""
    runs = Results(results.read(folder / results.FILE))
    print(machine.sentences(json.loads((folder / machine.FILE).read_text())), end="\n\n")
    for section in tables.SECTIONS.values():
        for table in section(runs):
            print(table.to_text(), end="\n\n")
    print(targets.table(runs).to_text(), end="\n\n")
    if (folder / page.STAGES).exists():
        print((folder / page.STAGES).read_text())
    if runs.where(section="scoring"):
        plot.draw(runs, folder / plot.NAME)
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
