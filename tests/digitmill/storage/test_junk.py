import os
import pathlib

import pytest

from digitmill.commands import run_config
from digitmill.storage.interface import LOCK
from digitmill.storage.junk import is_junk
from digitmill.storage.local_output import LocalFolder
from schemas.layout import statistics_name


@pytest.mark.parametrize(
    "name",
    [
        *(b".DS_Store", b"Thumbs.db", b"thumbs.db", b"Desktop.ini", b"._3.png", b"._"),
        *(b"manifest.json", b"run.json", b"run.yaml", b"labels.csv", b"failures.csv", b"report.html"),
        *(b"review.html", LOCK.encode(), run_config.FILE.encode(), b"__MACOSX/3/a.png"),
        statistics_name("0" * 32).encode(),
    ],
)
def test_junk_is_known_at_any_depth(name: bytes) -> None:
    assert is_junk(name)
    assert is_junk(b"a/b/" + name)


@pytest.mark.parametrize(
    "name",
    [
        *(b"3.png", b".hidden", b".hidden/3.png", b"a.json", b"my-labels.csv", b"manifest.json.png", b""),
        *(b"__MACOSX", b"DS_Store", b"part-0.json", b"statistics/3.png", b"statistics/part-1.json"),
        *(b"packed-0.tfrecord", b".a.tmp", b"thumbs.db.png", b"MANIFEST.JSON", b"._a/3.png"),
    ],
)
def test_everything_else_counts(name: bytes) -> None:
    assert not is_junk(name)


def test_what_a_killed_process_leaves_is_junk(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = []
    monkeypatch.setattr(os, "replace", lambda source, _: left.append(os.path.basename(source)))
    LocalFolder(tmp_path).replace("packed-0.tfrecord", b"x")
    assert [is_junk(name.encode()) for name in left] == [True]
