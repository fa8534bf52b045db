"""The request of a job: one training, on a number of machines; and the tools that take it to a cluster."""

import dataclasses
import re
import subprocess
from collections.abc import Iterator
from typing import Final

from digitmill.native_log import quiet_start
from digitmill.storage.object_stores.uris import GS
from schemas.errors import UserError
from trainer.train_options import TrainOptions

ENTRY_POINT: Final = ("python", "-m", "trainer.task")
"""The command that every worker runs."""

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?")
"""Valid host names, short enough to append a worker's index."""

_PATHLESS: Final = ("sample", "tfds")
"""Sources without a path."""


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
                "--name must be at most 53 lower-case letters, digits and hyphens, a letter first",
                value=self.name,
                hint="Give another name.",
            )

    @property
    def flags(self) -> list[str]:
        """The flags of a worker, which resumes from an earlier attempt's checkpoint."""
        return [*self.arguments, *([] if "--resume" in self.arguments else ["--resume"])]

    def check_accelerator(self, kind: str | None) -> None:
        """Raise UserError if a kind of GPU is given for workers without GPUs."""
        if kind is not None and not self.gpus:
            raise UserError(
                "--accelerator is given, but workers have no GPUs",
                value=f"{kind} with --gpus-per-worker 0",
                hint="Leave it out, or give --gpus-per-worker 1 or more.",
            )

    def check_paths(self, mounts: tuple[str, ...] = ()) -> None:
        """Raise UserError for a path that is neither in `gs://` nor below a folder shared by the workers."""
        for flag, path in self._paths():
            if path.startswith((GS, *(f"{mount.rstrip('/')}/" for mount in mounts))):
                continue
            shared = f"gs:// or below {' or '.join(mounts)}" if mounts else "gs://"
            raise UserError(
                f"workers do not see the path of {flag}, which must be in {shared}",
                value=path,
                hint="Copy it there." if flag != "--output" else "Name such a folder.",
            )

    def _paths(self) -> Iterator[tuple[str, str]]:
        yield from self.options.places()
        for source in (self.options.data,) if isinstance(self.options.data, str) else self.options.data:
            kind, _, path = source.partition(":")
            # A weight may follow, as in sample@2.
            if kind.partition("@")[0] not in _PATHLESS:
                yield "--data", path

    def check_batch(self) -> None:
        """Raise UserError if the batch doesn't divide over all replicas; imports the recipe, with Keras."""
        with quiet_start():
            from trainer import recipes
            from trainer.cluster.strategy import per_replica_batch
            from trainer.recipes.parts import overrides

        # Without the teacher, which only the workers may be able to read.
        bare = dataclasses.replace(self.options, teacher=None)
        recipe = recipes.load(bare.recipe)
        batch = bare.batch or recipe.batch
        per_replica_batch(batch, self.workers * max(self.gpus, 1))
        if recipe.needs_teacher and self.options.teacher is None:
            overrides.apply(recipe, self.options)


def run_tool(*command: str, stdin: str) -> str:
    """Run a cluster's command-line tool and return what it prints; raise UserError if it fails."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(
            f"cannot run {command[0]}, which hands the job over",
            value=str(error),
            hint="Install it here, or take what --dry-run prints to where it is.",
        ) from error
    if done.returncode:
        raise UserError(
            f"{command[0]} refused the job",
            value=f"exit code {done.returncode}",
            hint=f"It says: {done.stderr.strip() or done.stdout.strip()}",
        )
    return done.stdout.strip()
