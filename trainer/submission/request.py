"""What is submitted: one training, and how many machines it gets."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Final

from digitmill.commands.native_log import quiet_start
from schemas.errors import UserError
from trainer.files.files import CLOUD
from trainer.train_options import TrainOptions

ENTRY_POINT: Final = ("python", "-m", "trainer.task")
"""What every worker runs, wherever it is."""

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?")
"""What is a host's name too, with room for a worker's number behind it."""

_PLACELESS: Final = ("sample", "tfds")
"""Sources that are no path."""


@dataclasses.dataclass(frozen=True)
class Request:
    """One training for a cluster.

    Attributes:
        name: the job's name there.
        options: the training.
        arguments: the flags of `digitmill train` that say the same.
        workers: machines, the chief among them.
        gpus: GPUs of each; 0 for training on CPUs.

    Raises:
        UserError: when the name cannot be a host's.
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
        """The flags that a worker gets: it goes on from what an earlier try has saved."""
        return [*self.arguments, *([] if "--resume" in self.arguments else ["--resume"])]

    def check_accelerator(self, kind: str | None) -> None:
        """Refuses a kind of GPU for workers without any.

        Raises:
            UserError: with the flag that gives them some.
        """
        if kind is not None and not self.gpus:
            raise UserError(
                "--accelerator is given, but workers have no GPUs",
                value=f"{kind} with --gpus-per-worker 0",
                hint="Leave it out, or give --gpus-per-worker 1 or more.",
            )

    def check_paths(self, mounts: tuple[str, ...] = ()) -> None:
        """Refuses paths that no worker would see.

        Args:
            mounts: folders that the workers share.

        Raises:
            UserError: for a path that is neither in `gs://` nor in one of them.
        """
        for flag, path in self._paths():
            if path.startswith((CLOUD, *(f"{mount.rstrip('/')}/" for mount in mounts))):
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
            # A weight may follow: sample@2.
            if kind.partition("@")[0] not in _PLACELESS:
                yield "--data", path

    def check_batch(self) -> None:
        """Refuses a batch that does not divide over all replicas; imports the recipe, and with it Keras.

        Raises:
            UserError: with the nearest batch that does.
        """
        with quiet_start():
            from trainer import recipes
            from trainer.cluster.strategy import per_replica_batch
            from trainer.recipes.parts import overrides

        # A teacher may lie where only workers read; it has no say in the batch.
        bare = dataclasses.replace(self.options, teacher=None)
        recipe = recipes.load(bare.recipe)
        batch = bare.batch or recipe.batch
        per_replica_batch(batch, self.workers * max(self.gpus, 1))
        if recipe.needs_teacher and self.options.teacher is None:
            overrides.apply(recipe, self.options)
