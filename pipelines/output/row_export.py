"""Writes all rows of a finished run to one file, in the order of its listing."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from digitmill.commands.progress_bar import progress_bar
from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.sorted_rows import SortedRows
from pipelines.history.incremental import PastListingFile, past_listing_files
from pipelines.history.past_runs import PastRun, open_finished_run
from pipelines.listing.frozen_listing import read_index, read_items, read_range_items
from pipelines.rows.row_columns import SLICE_ROWS, Columns, count_rows, definitions_of
from pipelines.rows.row_files import row_file
from pipelines.rows.row_reading import read_part, row_parts
from pipelines.score_options import extra_columns
from pipelines.statistics.item_statistics import read_record
from schemas.columns import Column
from schemas.errors import StorageError, UserError, counted
from schemas.layout import FOLDERS, format_of, is_joined, is_merged, statistics_name

_IMAGE: Final = "image"


@dataclasses.dataclass(frozen=True)
class Exported:
    """A file with all rows of a run."""

    run: str
    file: str
    rows: int

    def as_data(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return dataclasses.asdict(self)

    def table(self) -> str:
        """Return the line to print."""
        return f"{self.file}: {counted(self.rows, 'row')}"


def export_rows(place: str, to: str, *, overwrite: bool = False) -> Exported:
    """Write the rows of a run to one file, a few thousand rows at a time.

    Rows are in the order of the listing. Incremental and merged runs have no listing order, because they are
    joined by hashes of names: their rows are sorted by `image`, in temporary files on disk.

    Args:
        place: the run's output.
        to: the file to write. Its extension sets the format: `.csv`, `.csv.gz`, `.tfrecord`, `.tfrecord.gz`
            or `.parquet`.
        overwrite: whether to replace an existing file.

    Raises:
        UserError: when the run is not finished, the extension is unknown, the name belongs to the run, or
            the file exists.
        StorageError: when files of the run are missing or damaged, or the file cannot be written.
    """
    kind = format_of(to)
    if kind is None:
        raise UserError(
            "cannot tell the format of the file by its name",
            value=to,
            hint="end it in .csv, .csv.gz, .tfrecord, .tfrecord.gz or .parquet",
        )
    run = open_finished_run(
        place, problem="cannot export an unfinished run", hint="finish it by `digitmill score --resume`"
    )
    parent, _, name = to.rpartition("/")
    folder = open_folder(parent or ("/" if to.startswith("/") else "."))
    _refuse_own_file(folder.at(name), run)
    folder.claim()
    definitions = definitions_of(extra_columns(run.manifest.options))
    try:
        with (
            folder.create(name, replace=overwrite) as file,
            row_file(file, kind, definitions, gzipped=name.endswith(".gz")) as write,
        ):
            rows = _write(run, definitions, write)
    except FileExistsError as error:
        raise UserError(
            "the file already exists", value=to, hint="name another one, or replace it by --overwrite"
        ) from error
    return Exported(run.place, to, rows)


def _refuse_own_file(place: str, run: PastRun) -> None:
    """Raise UserError for a path inside the run's output: it could replace a file, or fail `verify`."""
    top = open_folder(run.place)
    if place.startswith(tuple(f"{top.at(each)}/" for each in FOLDERS)):
        raise UserError(
            "this folder holds the run's own files", value=place, hint="name a file outside of it"
        )


def _write(run: PastRun, definitions: Sequence[Column], write: Any) -> int:
    expected, count = run.manifest.counts.scored, 0
    bar = progress_bar(total=expected, unit=" rows", unit_scale=True, desc="exporting")
    with bar:
        for columns in run_rows(run, definitions):
            write(columns)
            count += count_rows(columns)
            bar.update(count_rows(columns))
    if count != expected:
        raise StorageError(
            f"the run has {count:,} rows, but its manifest says {expected:,}",
            value=run.place,
            hint="copy the output again; `digitmill verify` lists all that differs",
        )
    return count


def run_rows(run: PastRun, definitions: Sequence[Column]) -> Iterator[Columns]:
    """Yield all rows of a run, a few thousand at a time, in the order of `export_rows`.

    Raises:
        StorageError: when files of the run are missing or damaged.
    """
    output = open_folder(run.place)
    files = [file for file in past_listing_files([run]) if file.scored]
    rows = itertools.chain.from_iterable(
        _file_rows(file, output, definitions) for file in _ordered(files, output)
    )
    if any(is_joined(file.name) or is_merged(file.name) for file in files):
        return _sorted(rows, definitions)
    return rows


def _ordered(files: Sequence[PastListingFile], output: OutputFolder) -> list[PastListingFile]:
    """Return the files in the order of the listing. Files of key ranges have digests as names."""
    index = read_index(output)
    ranges = index.ranges if index is not None and not index.buckets else ()
    names = (item.file for keys in ranges for item in read_range_items(output, keys))
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    # The launcher's files come first, by number.
    return sorted(files, key=lambda file: (places.get(file.name, -1), file.name))


def _file_rows(
    file: PastListingFile, output: OutputFolder, definitions: Sequence[Column]
) -> Iterator[Columns]:
    with file.damage_reported():
        for item in read_items(output, file.name):
            record = read_record(output.read(statistics_name(item.digest)), output)
            for part in row_parts(record.parts):
                yield from read_part(output, part, definitions)


def _sorted(rows: Iterable[Columns], definitions: Sequence[Column]) -> Iterator[Columns]:
    """Yield rows sorted by `image`."""
    held = SortedRows()
    for some in rows:
        lists = [each.tolist() if isinstance(each, np.ndarray) else each for each in some.values()]
        held.add(zip(some[_IMAGE], zip(*lists, strict=True), strict=True))
    found = iter(held)
    while some_rows := list(itertools.islice(found, SLICE_ROWS)):
        values = zip(*(row for _, row in some_rows), strict=True)
        yield {each.name: _typed(each, column) for each, column in zip(definitions, values, strict=True)}


def _typed(column: Column, values: Sequence[Any]) -> Sequence | np.ndarray:
    match column.kind:
        case "integer":
            return np.array(values, np.int64)
        case "number":
            return np.array(values, np.float32)
        case _:
            return list(values)
