import pathlib

import cv2
import numpy as np
import pytest

from benchmarks import scans
from digitmill.imaging.batch import decode_batch


@pytest.mark.parametrize("kind", scans.KINDS, ids=lambda kind: kind.name)
def test_a_scan_is_of_its_side_and_has_a_digit_that_must_be_found(kind: scans.Kind) -> None:
    files = scans.files(kind, 12)
    for data in files:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        assert picture.shape == (kind.side, kind.side)
    batch = decode_batch(files, len(files))
    assert batch.errors == [None] * len(files)
    assert batch.digits.any(axis=(1, 2)).all()


def test_scans_lie_in_their_labels_folders(tmp_path: pathlib.Path) -> None:
    scans.write(scans.KINDS[0], tmp_path / "scans", 20)
    files = [path for path in (tmp_path / "scans").rglob("*") if path.is_file()]
    assert len(files) == 20
    assert {path.suffix for path in files} == {".jpg"}
    assert {path.parent.name for path in files} <= set("0123456789")


def test_kinds_have_names_of_their_own() -> None:
    assert len({kind.name for kind in scans.KINDS}) == len(scans.KINDS)
    assert any(kind.side == 64 for kind in scans.COMPARED)
