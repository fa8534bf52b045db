"""Files that training reads and writes, on disk and in `gs://`."""
