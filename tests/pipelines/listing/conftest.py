import pathlib

import pytest

from digitmill.storage.local_output import LocalFolder


@pytest.fixture
def output(tmp_path: pathlib.Path) -> LocalFolder:
    folder = LocalFolder(tmp_path / "out")
    folder.claim()
    return folder
