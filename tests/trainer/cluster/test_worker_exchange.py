"""Two real worker processes on this machine, connected as a cluster's are."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.gcs_emulator import free_port
from trainer.data.sources.folder import FolderSource

WORKER = """
import hashlib, json, sys
import numpy as np, tensorflow as tf
index, local, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * local)
strategy = tf.distribute.MultiWorkerMirroredStrategy()
from trainer.cluster import collectives
collectives._MAX_BYTES = 100_000  # several rounds
from digitmill.storage import reader
from trainer.data.reading import Workers
from trainer.data.sources.folder import FolderSource
exchange = collectives.Collectives(strategy).exchange
given = [text.decode() for text in exchange(f"worker {index}".encode() * (index + 1))]
read = []
real = reader.read_file
reader.read_file = lambda image: read.append(image.uri) or real(image)
digits = FolderSource(folder).read(validation_fraction=0, workers=Workers(index, 2, exchange))
print(json.dumps({
    "given": given,
    "read": sorted(read),
    "train": sorted(hashlib.sha256(image.tobytes()).hexdigest() for image in digits.train.images),
    "held out": [hashlib.sha256(split.images.tobytes() + split.labels.tobytes()).hexdigest()
                 for split in (digits.validation, digits.test)],
    "counts": digits.train_counts(),
    "digest": digits.digest,
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_each_worker_reads_its_share_and_all_hold_out_the_same(label_folder, few_digits, replicas):
    (label_folder / "4" / "bad.png").write_bytes(b"no image")
    addresses = [f"localhost:{free_port()}" for _ in range(2)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(index), str(replicas), str(label_folder)],
            cwd=pathlib.Path(__file__).parents[3],
            env=os.environ
            | {
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
                ),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        ended = [worker.communicate(timeout=120) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], ended
    first, second = (json.loads(out.splitlines()[-1]) for out, _ in ended)
    assert first["given"] == second["given"] == ["worker 0", "worker 1worker 1"]
    assert not set(first["read"]) & set(second["read"])
    assert len(first["read"]) + len(second["read"]) == 401
    whole = FolderSource(str(label_folder)).read(validation_fraction=0)
    assert len(first["train"]) + len(second["train"]) == len(whole.train)
    assert first["held out"] == second["held out"]
    assert first["counts"] == second["counts"] == list(whole.train_counts())
    assert first["digest"] == second["digest"] == whole.digest
    # The chief alone says what cannot be used.
    assert ["1 of 401 images" in out for out, _ in ended] == [True, False]
