"""`digitmill export`: writes the rows of a finished run to one file."""

from digitmill import import_path

if __name__ == "__main__":
    import_path.check()

from digitmill.commands import OptionGroup, answer, argument, main, option, verb
from digitmill.commands.parameter_types import FILE, FOLDER


@verb()
@argument("run", type=FOLDER)
@argument("file", type=FILE)
@option(
    "--overwrite",
    is_flag=True,
    help="Replace FILE if it exists.",
    group=OptionGroup("The file"),
)
def export(run: str, file: str, *, overwrite: bool) -> None:
    """Write all predictions of RUN to FILE, in the order in which the images were listed.

    RUN is an output of `digitmill score` or `compact`. FILE, on disk or in a bucket, ends in .csv,
    .parquet, .tfrecord, .csv.gz or .tfrecord.gz. The run may have other formats. FILE appears when it is
    complete. The rows of runs with --since, and of merged ones, are sorted by image.

    \b
    Examples:
      digitmill export scores predictions.parquet
      digitmill export scores gs://bucket/predictions.csv --overwrite
    """
    from digitmill.storage.names import place_as_given
    from pipelines.output import row_export

    exported = row_export.export_rows(place_as_given(run), place_as_given(file), overwrite=overwrite)
    answer(exported.table(), exported.as_data())


if __name__ == "__main__":
    main(export)
