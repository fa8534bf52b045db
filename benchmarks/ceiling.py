"""A hand-written loop without Beam, checksums or accounting: what the machine could do at best.

Usage: python -m benchmarks.ceiling IMAGES_FOLDER BUNDLE OUTPUT_FOLDER ENGINE [THREADS]

Prints the seconds, the model's loading included, imports left out. ENGINE is the one that digitmill runs,
as `--engine` names it; it has one thread, or THREADS. Two threads read and decode, one model call per 1,024
images, TFRecord and CSV out.
"""

import pathlib
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from digitmill.records import encode_records
from schemas.columns import Column
from schemas.model import bundle as names

COLUMNS = (
    Column("image", "string", nullable=False, description=""),
    Column("digit", "integer", nullable=False, description=""),
    Column("confidence", "number", nullable=False, description=""),
)
CHUNK = 1024


def litert(path: pathlib.Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return LiteRT's function from digits to probabilities."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path), num_threads=threads).get_signature_runner(names.SIGNATURE)
    return lambda digits: run(**{names.INPUT: digits})[names.OUTPUT]


def openvino(path: pathlib.Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return OpenVINO's function from digits to probabilities, compiled for whole chunks."""
    from openvino import Core

    core = Core()
    model = core.read_model(path)
    model.reshape([CHUNK, 28, 28])
    request = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads}).create_infer_request()

    def run(digits: np.ndarray) -> np.ndarray:
        padded = np.zeros((CHUNK, 28, 28), np.uint8)
        padded[: len(digits)] = digits
        return request.infer([padded])[0][: len(digits)]

    return run


def read_chunk(paths):
    digits = np.empty((len(paths), 28, 28), np.uint8)
    for slot, path in enumerate(paths):
        with open(path, "rb", buffering=0) as file:
            digits[slot] = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    return paths, digits


def main(images: str, bundle: str, output: str, engine: str, threads: str = "1") -> None:
    cv2.setNumThreads(1)
    load = openvino if engine.startswith("openvino") else litert
    file = names.LITERT_INT8_MODEL if engine.endswith("int8") else names.LITERT_MODEL
    folder = pathlib.Path(output)
    folder.mkdir(parents=True)
    started = time.monotonic()
    run = load(pathlib.Path(bundle) / file, int(threads))
    paths = sorted(str(path) for path in pathlib.Path(images).rglob("*.png"))
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    with (
        ThreadPoolExecutor(2) as pool,
        (folder / "predictions.tfrecord").open("wb") as records,
        (folder / "predictions.csv").open("w") as rows,
    ):
        rows.write("image,digit,confidence\n")
        for names_of, digits in pool.map(read_chunk, chunks):
            probabilities = run(digits)
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
