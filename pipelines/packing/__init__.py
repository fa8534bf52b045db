"""The job of `digitmill pack`: copies image files into TFRecord shards, byte for byte, with names and labels.

`run` lists the images, packs them with Beam and writes the manifest last. Each shard is written once, under a
name derived from what it holds, so that a pack can be resumed.
"""

from pipelines.packing.pack_job import FAILURES, PackOptions, PackSummary, run

__all__ = ["FAILURES", "PackOptions", "PackSummary", "run"]
