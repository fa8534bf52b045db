"""Reads and writes TFRecord files of `tf.train.Example` without TensorFlow, for training and scoring.

`read_frames` reads a file record by record and continues after damage; `read_records` reads digitmill's own
files and rejects damage. `parse_example` and `parse_packed_image` decode one record, `decode_records` many
records of one schema into columns, and `encode_records` encodes columns. `open_stream` inflates gzipped files
within the limit of `Inflation`.
"""

from digitmill.records.decoding import decode_records
from digitmill.records.encoding import encode_records
from digitmill.records.example import PackedImage, parse_example, parse_packed_image
from digitmill.records.frames import Frame, is_tfrecord, mean_size, read_frames, read_records
from digitmill.records.inflation import InflatedStream, Inflation, Stream, open_stream

__all__ = [
    "Frame",
    "InflatedStream",
    "Inflation",
    "PackedImage",
    "Stream",
    "decode_records",
    "encode_records",
    "inflation",
    "is_tfrecord",
    "mean_size",
    "open_stream",
    "parse_example",
    "parse_packed_image",
    "read_frames",
    "read_records",
]
