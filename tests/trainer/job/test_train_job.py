"""Training into buckets that refuse or fail."""

import numpy as np
import pytest

from digitmill.storage.object_stores import bucket_folder
from digitmill.storage.object_stores.bucket import ABSENT, StoreError
from schemas.errors import StorageError, UserError
from trainer.job import train_job
from trainer.run.checkpoints import Checkpoint, Checkpoints
from trainer.run.run_location import run_place
from trainer.train_options import TrainOptions


class StubBucket:
    """An empty bucket that refuses some kinds of requests.

    Attributes:
        refused: `list`, `write` or both.
    """

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self._written: set[str] = set()

    def list(self, prefix, *, most=None):
        self._answer("list")
        return iter(())

    def written(self, name):
        self._answer("list")

    def write(self, name, data, *, expected=None, patient=True):
        self._answer("write")
        if expected == ABSENT and name in self._written:
            return None
        self._written.add(name)
        return "1"

    def release(self, name, version):
        self._written.discard(name)

    def _answer(self, kind: str) -> None:
        if kind in self.refused:
            raise StoreError(f"no right to {kind}", hint="grant it", denied=True)


@pytest.fixture
def stub(monkeypatch):
    bucket = StubBucket()
    monkeypatch.setattr(bucket_folder, "open_bucket", lambda scheme, name, retry_seconds: bucket)
    return bucket


@pytest.mark.parametrize("refused", ["list", "write"])
def test_an_output_that_cannot_be_used_is_refused_before_training(stub, refused):
    stub.refused = {refused}
    with pytest.raises(UserError, match=f"'s3://bucket/run'. Grant it: no right to {refused}"):
        train_job.run(TrainOptions(recipe="dense-128", data="sample", output="s3://bucket/run"))


@pytest.mark.parametrize("refused", ["list", "write"])
def test_an_outage_while_a_checkpoint_is_saved_is_no_users_error(stub, refused):
    checkpoints = Checkpoints(run_place("s3://bucket/run/checkpoints"))
    checkpoint = Checkpoint(1, {}, {"model/0": np.zeros(3, np.float32)})
    checkpoints.save(checkpoint)
    stub.refused = {refused}
    with pytest.raises(StorageError, match=f"no right to {refused}"):
        checkpoints.save(checkpoint)
