"""Object stores: `gs://` through google-cloud-storage, the others and all reads through obstore.

`uris` parses places without importing a client. `objects` reads, `google` lists, `bucket` is the interface
of a bucket that is written to, and `bucket_folder` makes output folders of buckets, each held by a lease.
"""

__all__ = [
    "bucket",
    "bucket_folder",
    "google",
    "objects",
    "uris",
]
