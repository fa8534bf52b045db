"""`digitmill.score` and `digitmill.read`: whole runs, like those of the command."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from digitmill.api import row_frames
from digitmill.api.html_tables import html_table
from digitmill.extras import require
from digitmill.storage import open_folder
from digitmill.storage.names import place_as_given
from pipelines.history.past_runs import open_finished_run
from pipelines.output.summary import Summary
from pipelines.rows.row_columns import definitions_of
from pipelines.rows.row_reading import exact_part, pieces_of
from pipelines.score.score_start import run_score
from pipelines.score_options import ScoreOptions, extra_columns
from schemas import failure
from schemas.columns import Column
from schemas.errors import ExitCode, StorageError, UserError
from schemas.layout import Format, is_failure_table
from schemas.manifest import Counts, Manifest, Part
from schemas.model.accuracy import Accuracy

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


class Run:
    """A finished scoring run: figures from its manifest, rows from its prediction files."""

    def __init__(self, place: str, found: Manifest) -> None:
        """Initialize from an output folder, local or in a bucket, and its manifest."""
        self.place = place
        self.manifest = found

    @property
    def counts(self) -> Counts:
        """Number of images by outcome: listed = scored + failed + skipped."""
        return self.manifest.counts

    @property
    def accuracy(self) -> Accuracy | None:
        """Share of labeled images with the right digit: `value`, `interval`; None without labels."""
        return self.manifest.accuracy

    @property
    def accepted(self) -> int:
        """Number of scored images at or above the accept threshold."""
        return self.manifest.accepted

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the command: not OK if too many images failed or a gate of `fail_on` tripped."""
        return self._summary.exit_code

    @property
    def failures(self) -> "pandas.DataFrame":
        """The images without a prediction, with code and detail.

        Raises:
            UserError: when pandas is not installed.
            StorageError: when a file of the run is missing or changed.
        """
        require("pandas", wanted="Run.failures")
        tables = [part for part in self.manifest.parts if is_failure_table(part.name)]
        return row_frames.read_pandas(((part.name, self._read(part)) for part in tables), failure.COLUMNS)

    def predictions(self) -> "pandas.DataFrame":
        """Return all rows; if they do not fit in memory, use `batches`.

        Raises:
            UserError: when pandas is not installed; `to_arrow` needs no extra package.
            StorageError: when a file of the run is missing or changed.
        """
        require("pandas", wanted="Run.predictions()", otherwise="take Run.to_arrow()")
        return row_frames.read_pandas(self._tables(), self._columns())

    def to_arrow(self) -> "pyarrow.Table":
        """Return all rows as an Arrow table, which Polars, DuckDB and others read without a copy.

        Raises:
            StorageError: when a file of the run is missing or changed.
        """
        return row_frames.read_arrow(self._tables(), self._columns())

    def to_polars(self) -> "polars.DataFrame":
        """Return all rows as a Polars DataFrame.

        Raises:
            UserError: when Polars is not installed.
            StorageError: when a file of the run is missing or changed.
        """
        require("polars", wanted="Run.to_polars()", otherwise="take Run.to_arrow()")
        import polars

        return polars.from_arrow(self.to_arrow())

    def batches(self) -> "Iterator[pandas.DataFrame]":
        """Return an iterator over the rows, one file at a time; `rows_per_part` of the run bounds the size.

        Raises:
            UserError: when pandas is not installed; `arrow_batches` needs no extra package.
            StorageError: when a file of the run is missing or changed.
        """
        require("pandas", wanted="Run.batches()", otherwise="take Run.arrow_batches()")
        columns = self._columns()
        return (row_frames.read_pandas([table], columns) for table in self._tables())

    def arrow_batches(self) -> "Iterator[pyarrow.Table]":
        """Return an iterator over the same batches as Arrow tables.

        Raises:
            StorageError: when a file of the run is missing or changed.
        """
        columns = self._columns()
        return (row_frames.read_arrow([table], columns) for table in self._tables())

    def __repr__(self) -> str:
        counts = self.counts
        return (
            f"<digitmill.Run {self.place!r}: {counts.listed:,} listed = {counts.scored:,} scored + "
            f"{counts.failed:,} failed + {counts.skipped:,} skipped>"
        )

    def __str__(self) -> str:
        return self._summary.table()

    def _repr_html_(self) -> str:
        return html_table(self.place, self._summary.rows().items())

    @property
    def _summary(self) -> Summary:
        return Summary(self.place, self.manifest)

    def _tables(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of each file of predictions, read lazily."""
        for piece in pieces_of(self.manifest.parts):
            # CSVs are the fastest to read.
            part = piece.get(Format.CSV) or exact_part(piece)
            yield part.name, self._read(part)

    def _columns(self) -> tuple[Column, ...]:
        return definitions_of(extra_columns(self.manifest.options))

    def _read(self, part: Part) -> bytes:
        output = open_folder(self.place)
        try:
            data = output.read(part.name)
        except FileNotFoundError:
            data = b""
        if Part.of(part.name, data, rows=part.rows) != part:
            raise StorageError(
                "a file of the run is missing or changed",
                value=output.at(part.name),
                hint="copy the output again; `digitmill verify` lists all that differs",
            )
        return data


def score(*inputs: str | os.PathLike[str], output: str | os.PathLike[str], **options: Any) -> Run:
    """Score every image of folders, files or patterns, and account for each, like `digitmill score`.

    Args:
        inputs: paths on disk, or in `gs://`, `s3://` or `az://`; none if `input_list` names the images.
        output: folder for predictions, reports and the manifest.
        options: the flags of `digitmill score`, with underscores: `labels="folder"`, `resume=True`,
            `include=["*.png"]`. A repeatable flag takes one value or a list.

    Returns:
        The finished run, even if more images failed than `max_failure_rate` allows: see `Run.exit_code`.

    Raises:
        UserError: when an option or input cannot be used; nothing is written then.
        StoppedError: when the run was stopped or its storage failed; `resume=True` continues it.
        UnreconciledError: when a listed image has no outcome; no manifest is written then.
    """
    asked = ScoreOptions.from_keywords({"inputs": inputs, "output": output, **options})
    if not asked.inputs and asked.input_list is None:
        raise UserError(
            "nothing to score", value="no input", hint="name a folder, a file or a pattern, or an input_list"
        )
    done = run_score(asked, one_command=False)
    return Run(asked.output, done.manifest)


def read(output: str | os.PathLike[str]) -> Run:
    """Open a finished run of `digitmill.score` or of the command.

    Raises:
        UserError: when the folder does not contain a finished run.
    """
    place = place_as_given(output)
    hint = "name an output of `digitmill score`, or finish the run by resume=True"
    return Run(place, open_finished_run(place, problem="not a finished run", hint=hint).manifest)
