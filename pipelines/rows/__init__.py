"""Rows of predictions as columns and as files: CSV, TFRecord and Parquet, written and read.

`row_columns` holds what rows are in memory, `row_encoding` and `row_files` make files of them. `row_reading`
is the one place that reads the rows of a run, in whatever formats it has.
"""

__all__ = [
    "row_columns",
    "row_encoding",
    "row_files",
    "row_reading",
]
