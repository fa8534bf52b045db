import datetime
import pathlib

import pytest

from pipelines.finishing import finish, times
from pipelines.reconcile import Account
from pipelines.report import Backdrop
from pipelines.statistics import RunStatistics
from pipelines.storage.local import LocalFolder
from schemas.errors import StorageError
from schemas.manifest import Manifest


class LostHold:
    def confirm(self) -> None:
        raise StorageError("a launcher holds its output to the end", got="out", remedy="leave it alone")


def test_a_launcher_that_has_lost_its_output_writes_nothing_more(
    tmp_path: pathlib.Path, manifest: Manifest, statistics: RunStatistics
) -> None:
    output = LocalFolder(tmp_path)
    account = Account(statistics, skipped=0, records=(), listing=())
    with pytest.raises(StorageError, match="leave it alone"):
        finish(output, manifest, account, hold=LostHold(), against=Backdrop())
    assert list(output.walk()) == []


def test_times_are_kept_to_the_millisecond() -> None:
    started = datetime.datetime.now(datetime.UTC)
    assert times("begun", started, seconds=1.23456, images=3)["pipeline_seconds"] == 1.235
