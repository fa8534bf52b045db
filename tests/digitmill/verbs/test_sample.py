import pathlib

import numpy as np
import pytest

from digitmill.imaging.batch import decode_batch
from digitmill.verbs.sample import write_sample
from schemas.errors import UserError
from trainer.data.sources import embedded_sample


@pytest.mark.parametrize(("split", "images"), [("test", 500), ("validation", 500)])
def test_a_split_is_written_as_labeled_folders(tmp_path: pathlib.Path, split: str, images: int) -> None:
    assert write_sample(tmp_path / "new", split) == images
    paths = sorted((tmp_path / "new").rglob("*.png"), key=lambda path: path.name)
    batch = decode_batch((path.read_bytes() for path in paths), len(paths))
    expected = getattr(embedded_sample.digits(), split)
    np.testing.assert_array_equal(batch.digits, expected.images)
    np.testing.assert_array_equal([int(path.parent.name) for path in paths], expected.labels)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(UserError, match="not empty"):
        write_sample(tmp_path, "test")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to the sample folder"):
        write_sample(tmp_path / "file" / "folder", "test")
