"""A hand-written loop without Beam, checksums or accounting: what the machine could do at best.

Usage: python -m benchmarks.ceiling IMAGES_FOLDER BUNDLE OUTPUT_FOLDER MODEL_FILE [THREADS]

Prints the seconds, the model's loading included, imports left out. MODEL_FILE is the LiteRT model of the
bundle that digitmill runs too; its interpreter has one thread, or THREADS. Two threads read and decode, one
model call per 1,024 images, TFRecord and CSV out.
"""

import pathlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from digitmill.records import encode_records
from schemas.columns import Column
from schemas.model import bundle as names

COLUMNS = (
    Column("image", "string", nullable=False, description=""),
    Column("digit", "integer", nullable=False, description=""),
    Column("confidence", "number", nullable=False, description=""),
)
CHUNK = 1024


def read_chunk(paths):
    digits = np.empty((len(paths), 28, 28), np.uint8)
    for slot, path in enumerate(paths):
        with open(path, "rb", buffering=0) as file:
            digits[slot] = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    return paths, digits


def main(images: str, bundle: str, output: str, model_file: str, threads: str = "1") -> None:
    cv2.setNumThreads(1)
    folder = pathlib.Path(output)
    folder.mkdir(parents=True)
    started = time.monotonic()
    model = (pathlib.Path(bundle) / model_file).read_bytes()
    run = Interpreter(model_content=model, num_threads=int(threads)).get_signature_runner(names.SIGNATURE)
    paths = sorted(str(path) for path in pathlib.Path(images).rglob("*.png"))
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    with (
        ThreadPoolExecutor(2) as pool,
        (folder / "predictions.tfrecord").open("wb") as records,
        (folder / "predictions.csv").open("w") as rows,
    ):
        rows.write("image,digit,confidence\n")
        for names_of, digits in pool.map(read_chunk, chunks):
            probabilities = run(**{names.INPUT: digits})[names.OUTPUT]
            digit = probabilities.argmax(axis=1)
            confidence = probabilities.max(axis=1)
            records.write(
                encode_records(COLUMNS, {"image": names_of, "digit": digit, "confidence": confidence})
            )
            rows.writelines(
                f"{path},{best},{share:.6f}\n"
                for path, best, share in zip(names_of, digit.tolist(), confidence.tolist(), strict=True)
            )
    print(time.monotonic() - started)


if __name__ == "__main__":
    main(*sys.argv[1:])
