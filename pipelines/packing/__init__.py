"""The job of `digitmill pack`: copies image files into TFRecord shards, byte for byte, with names and labels.

`pack_options` declares its flags. `pack_job.run` lists the images, packs them with Beam and writes the
manifest last. Each shard is written once, under a name derived from its content, so that a pack can be
resumed. Importing this package does not import Beam, so that `--help` is fast.
"""

__all__ = [
    "pack_job",
    "pack_options",
]
