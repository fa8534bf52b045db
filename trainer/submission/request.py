"""The request of a job: one training, on a number of machines; and the tools that take it to a cluster."""

import dataclasses
import re
import subprocess
from collections.abc import Iterator
from typing import Final

from digitmill.default_model import SHIPPED
from digitmill.extras import require
from digitmill.native_log import quiet_start
from digitmill.storage.object_stores.uris import GS
from schemas.errors import UserError
from trainer.data.sources.source_specs import split_weight
from trainer.train_options import TrainOptions

ENTRY_POINT: Final = ("python", "-m", "trainer.task")
"""The command that every worker runs."""

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?")
"""Valid host names, short enough to append a worker's index."""

_CPUS_PER_GPU: Final = 4
"""Cores that decode, shuffle and feed one GPU. Few enough for the machines that clouds rent with one."""

_PATHLESS: Final = ("sample", "tfds")
"""Sources without a path."""

_DRAWN: Final = ("fonts", "not-digits")
"""Sources that name folders, families and a number, with commas between them."""


@dataclasses.dataclass(frozen=True)
class Request:
    """A training to be run on a cluster; raises UserError if the name isn't a valid host name.

    Attributes:
        name: the job's name on the cluster.
        options: the training.
        arguments: the same as flags of `digitmill train`.
        workers: number of machines, including the chief.
        gpus: GPUs of each machine; 0 to train on CPUs.
    """

    name: str
    options: TrainOptions
    arguments: tuple[str, ...]
    workers: int = 1
    gpus: int = 1

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UserError(
                "--name is not 1 to 53 lower-case letters, digits and hyphens that begin with a letter",
                value=self.name,
                hint="give another name",
            )

    @property
    def flags(self) -> list[str]:
        """The flags of a worker, which has its GPUs and resumes from an earlier attempt's checkpoint."""
        devices = self.gpus and self.options.require_gpus is None
        return [
            *self.arguments,
            *(["--require-gpus", str(self.gpus)] if devices else []),
            *([] if self.options.resume else ["--resume"]),
        ]

    def with_cache(self, folder: str) -> "Request":
        """Return the request with a folder for decoded images, unless it has one."""
        if self.options.cache_dir is not None:
            return self
        return dataclasses.replace(self, arguments=(*self.arguments, "--cache-dir", folder))

    @property
    def default_cpus(self) -> str:
        """Cores of each worker by default."""
        return str(_CPUS_PER_GPU * max(1, self.gpus))

    def check_accelerator(self, kind: str | None) -> None:
        """Raise UserError if a kind of GPU is given for workers without GPUs."""
        if kind is not None and not self.gpus:
            raise UserError(
                "--accelerator is given, but workers have no GPUs",
                value=f"{kind} with --gpus-per-worker 0",
                hint="leave it out, or give --gpus-per-worker 1 or more",
            )

    def check_paths(self, mounts: tuple[str, ...] = ()) -> None:
        """Raise UserError for a path that is neither in `gs://` nor in a folder shared by the workers."""
        folders = tuple(f"{mount.rstrip('/')}/" for mount in mounts)
        for flag, path in self._paths():
            if path.startswith(GS) or f"{path}/".startswith(folders):
                continue
            shared = f"gs:// or below {' or '.join(mounts)}" if mounts else "gs://"
            raise UserError(
                f"workers cannot see the path of {flag}, which is not in {shared}",
                value=path,
                hint="copy it there" if flag != "--output" else "name such a folder",
            )

    def _paths(self) -> Iterator[tuple[str, str]]:
        # The model that comes with digitmill is on all workers.
        yield from (found for found in self.options.places() if found != ("--init", SHIPPED))
        for given in (self.options.data,) if isinstance(self.options.data, str) else self.options.data:
            source, _ = split_weight(given)
            kind, _, path = source.partition(":")
            if kind in _DRAWN:
                yield from (("--data", item) for item in path.split(",") if "/" in item)
            elif kind not in _PATHLESS:
                yield "--data", path

    def check_batch(self) -> None:
        """Raise UserError if the batch doesn't divide over all replicas; imports the recipe, with Keras."""
        require("tensorflow", wanted="digitmill submit")
        with quiet_start():
            from trainer import recipes
            from trainer.cluster.strategy import per_replica_batch
            from trainer.recipes.parts import overrides

        # Without the teacher, which only the workers may be able to read.
        bare = dataclasses.replace(self.options, teacher=None)
        recipe = recipes.load(bare.recipe)
        batch = bare.batch or recipe.batch
        if bare.global_batch is None:  # else it is each replica's
            per_replica_batch(batch, self.workers * max(self.gpus, 1))
        if recipe.needs_teacher and self.options.teacher is None:
            overrides.apply(recipe, self.options)


def run_tool(*command: str, stdin: str) -> str:
    """Run a cluster's command-line tool and return what it prints; raise UserError if it fails."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(
            f"cannot run {command[0]}, which submits the job",
            value=str(error),
            hint="install it, or print the job by --dry-run and submit it from another machine",
        ) from error
    if done.returncode:
        raise UserError(
            f"{command[0]} refused the job",
            value=f"exit code {done.returncode}",
            hint=f"it says: {done.stderr.strip() or done.stdout.strip()}",
        )
    return done.stdout.strip()
