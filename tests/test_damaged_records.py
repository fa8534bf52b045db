"""Training and scoring read the same records of a damaged TFRecord file."""

import io
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.records import encode_records
from pipelines.archives import HEAD_BYTES, archive_kind, read_members
from schemas import packed
from schemas.failure import FailureCode, ImageError
from tests.record_files import DAMAGE
from trainer.data.reading import ReadOptions
from trainer.data.rejects import Rejects
from trainer.data.sources.tfrecord_source import RecordsSource

COUNT = 240


ORDER = np.random.default_rng(1).permutation(500)[:COUNT]


@pytest.fixture(scope="module")
def images(digits: np.ndarray, png_of: Callable) -> list[bytes]:
    return [png_of(digit) for digit in digits[ORDER]]


@pytest.fixture(scope="module")
def payloads(images: list[bytes], labels: np.ndarray) -> list[bytes]:
    """The records of a packed shard."""
    columns = {
        packed.ENCODED: images,
        packed.NAME: [f"file:///{number}.png" for number in range(COUNT)],
        packed.LABEL: labels[ORDER],
        packed.GENERATION: np.arange(COUNT),
    }
    rows = [{name: values[row : row + 1] for name, values in columns.items()} for row in range(COUNT)]
    return [encode_records(packed.COLUMNS, row)[12:-4] for row in rows]


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("hit", [160, COUNT - 1])
def test_training_and_scoring_read_the_same_records(
    kind: str,
    hit: int,
    payloads: list[bytes],
    images: list[bytes],
    digits: np.ndarray,
    tmp_path: pathlib.Path,
) -> None:
    damage, readable = DAMAGE[kind]
    data = damage(payloads, hit)
    (tmp_path / "x.tfrecord").write_bytes(data)
    expected = readable(hit, COUNT)

    archive = archive_kind("x.tfrecord", data[:HEAD_BYTES])
    assert archive is not None
    members = list(read_members(io.BytesIO(data), archive, name="file:///x.tfrecord"))
    contents = [member.content for member in members]
    failures = [content for content in contents if isinstance(content, ImageError)]
    assert [content for content in contents if isinstance(content, bytes)] == [images[n] for n in expected]
    assert [failure.code for failure in failures] == [FailureCode.CORRUPT]
    assert len({member.name for member in members}) == len(members)

    rejected: list[str] = []
    source = RecordsSource(str(tmp_path / "x.tfrecord"), ReadOptions(Rejects(write=rejected.append)))
    splits = source.read(validation_fraction=0).splits().values()
    trained = [image.tobytes() for split in splits for image in split.images]
    assert sorted(trained) == sorted(digits[ORDER[n]].tobytes() for n in expected)
    assert rejected[-1].count("CORRUPT") == len(failures)
