"""Writes IDX files, as MNIST's makers did."""

import gzip
import pathlib
import struct

import numpy as np


def idx_bytes(values: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def write_idx(path: pathlib.Path, values: np.ndarray) -> None:
    data = idx_bytes(values)
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)


def write_set(folder: pathlib.Path, digits, *, prefix: str = "", ending: str = "-ubyte.gz") -> pathlib.Path:
    folder.mkdir(exist_ok=True, parents=True)
    for part, split in (("train", digits.train), ("t10k", digits.test)):
        write_idx(folder / f"{prefix}{part}-images-idx3{ending}", split.images)
        write_idx(folder / f"{prefix}{part}-labels-idx1{ending}", split.labels)
    return folder
