"""Rows of predictions as columns and as files: CSV, TFRecord and Parquet, written and read.

`row_columns` defines rows in memory; `row_encoding` and `row_files` write them to files. All code that reads
the rows of a run, in any format, uses `row_reading`.
"""

__all__ = [
    "row_columns",
    "row_encoding",
    "row_files",
    "row_reading",
]
