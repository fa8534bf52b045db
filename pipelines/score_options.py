"""What a scoring run is asked to do: one record, checked once; nothing below it reads flags."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Final

from digitmill.commands import run_config
from digitmill.commands.command_line import command_line
from digitmill.engines.engine_choice import EngineKind
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.work_item import MAX_ITEM_SIZE
from schemas.errors import UserError
from schemas.layout import Compression

FLAGS: Final = (
    "--input",
    "--input-list",
    "--model",
    "--output",
    "--labels",
    "--accept-threshold",
    "--engine",
    "--challenger",
    "--connections",
    "--max-requests-per-second",
    "--resume",
    "--since",
    "--retry-failures",
    "--limit",
    "--sample",
    "--dry-run",
    "--rows-per-part",
    "--compression",
    "--max-failure-rate",
    "--workers",
    "--price-per-hour",
    "--config",
    "--json",
)
"""The verb's own flags, for suggestions where one is misspelt."""

_OF_ONE_OUTPUT: Final = ("output", "resume", "limits")
"""What a run that is repeated does not take over as it is."""

MAX_FAILURE_RATE: Final = 0.05
"""Share of images that may fail before a run is a failed one."""


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """What a scoring run is asked to do.

    Attributes:
        inputs: folders, files or patterns, local or in a bucket.
        model: folder of the model bundle.
        output: folder for everything that the run writes, local or in a `gs://` bucket.
        input_list: a file that names images one by one, or None.
        labels: `folder`, path of a CSV, or None where the true digits are unknown.
        accept_threshold: in [0, 1]; None for the model's own.
        engine: `auto`, `litert`, `litert_int8` or `saved_model`.
        challenger: folder of the bundle of a second model, or None.
        limits: how hard a worker may lean on an object store.
        resume: whether a run that was begun in the output is gone on with.
        since: output of an earlier run, or the folder above several, whose images are skipped; or None.
        retry_failures: whether images that failed in those runs are scored again.
        limit: number of files to score, the first in the order of their names; None for all.
        sample: number of files to score, at random but stable by name; None for all.
        rows_per_part: greatest number of rows in a prediction file.
        compression: which prediction files are gzipped.
        max_failure_rate: share of images, in [0, 1], that may fail before the run is a failed one.
        workers: worker processes on this machine, 1 for none but this one; None for what is best.
        price_per_hour: of all machines together, in any currency; None where it is not known.
        beam_flags: flags for Beam, runner included.
    """

    inputs: tuple[str, ...]
    model: pathlib.Path
    output: str
    input_list: pathlib.Path | None = None
    labels: str | None = None
    accept_threshold: float | None = None
    engine: str = EngineKind.AUTO
    challenger: pathlib.Path | None = None
    limits: ReadLimits = ReadLimits()  # noqa: RUF009 - frozen
    resume: bool = False
    since: str | None = None
    retry_failures: bool = False
    limit: int | None = None
    sample: int | None = None
    rows_per_part: int = MAX_ITEM_SIZE
    compression: Compression = Compression.RECORDS
    max_failure_rate: float = MAX_FAILURE_RATE
    workers: int | None = None
    price_per_hour: float | None = None
    beam_flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.limit and self.sample:
            raise UserError(
                "a run takes the first images or a sample of them",
                got=f"--limit {self.limit} --sample {self.sample}",
                remedy="give one of them",
            )
        if self.retry_failures and self.since is None:
            raise UserError(
                "failures are those of an earlier run", got="--retry-failures", remedy="name it by --since"
            )

    def run_config(self) -> str:
        """Returns the file that asks for the same, for another output."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        given = {name: getattr(self, name) for name in defaults if name not in _OF_ONE_OUTPUT}
        given = {name: value for name, value in given.items() if value not in (defaults[name], None, ())}
        names = {"inputs": "input", run_config.BEAM_FLAGS: run_config.BEAM_FLAGS}
        settings = {names.get(name, name.replace("_", "-")): value for name, value in given.items()}
        return run_config.to_text("score", settings | self._limits())

    def _limits(self) -> dict[str, float]:
        limits, default = self.limits, ReadLimits()
        given = {
            "connections": None if limits.connections == default.connections else limits.connections,
            "max-requests-per-second": limits.requests_per_second,
        }
        return {name: value for name, value in given.items() if value is not None}

    def command(self, *, resume: bool = False) -> str:
        """Returns the command line that asks for the same."""
        return command_line("score", *self._flags(resume=resume), *self.beam_flags)

    def _flags(self, *, resume: bool) -> Iterator[str]:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for given in self.inputs:
            yield from ("--input", given)
        for name, default in defaults.items():
            value = getattr(self, name)
            if name in ("inputs", "limits", "beam_flags", "resume") or value is None or value == default:
                continue
            flag = f"--{name.replace('_', '-')}"
            yield from (flag,) if value is True else (flag, str(value))
        for name, value in self._limits().items():
            yield from (f"--{name}", f"{value:g}")
        if self.resume or resume:
            yield "--resume"
