"""The job of `digitmill pack`: copies image files into TFRecord shards."""
