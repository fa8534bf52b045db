import datetime
import pathlib

import pytest

from digitmill.storage.local_output import LocalFolder
from pipelines.output.finishing import finish_run, run_times
from pipelines.output.reconcile import Reconciliation
from pipelines.report.scoring_report import Baselines
from pipelines.statistics.item_statistics import RunStatistics
from schemas.errors import StorageError
from schemas.manifest import Manifest


class LostHold:
    def __init__(self, *, confirmed: int) -> None:
        self._left = confirmed

    def confirm(self) -> None:
        self._left -= 1
        if self._left >= 0:
            return
        raise StorageError("this launcher no longer holds its output", value="out", hint="leave it alone")


def test_a_launcher_that_lost_its_output_writes_nothing(
    tmp_path: pathlib.Path, manifest: Manifest, statistics: RunStatistics
) -> None:
    output = LocalFolder(tmp_path)
    reconciliation = Reconciliation(statistics, skipped=0, records=(), listing=())
    with pytest.raises(StorageError, match="Leave it alone"):
        finish_run(output, manifest, reconciliation, hold=LostHold(confirmed=0), baselines=Baselines())
    assert list(output.walk()) == []


def test_a_launcher_that_lost_its_output_to_the_reports_writes_no_manifest(
    tmp_path: pathlib.Path, manifest: Manifest, statistics: RunStatistics
) -> None:
    output = LocalFolder(tmp_path)
    reconciliation = Reconciliation(statistics, skipped=0, records=(), listing=())
    with pytest.raises(StorageError, match="Leave it alone"):
        finish_run(output, manifest, reconciliation, hold=LostHold(confirmed=1), baselines=Baselines())
    assert output.exists("report.html")
    assert not output.exists("manifest.json")


def test_times_are_kept_to_the_millisecond() -> None:
    started = datetime.datetime.now(datetime.UTC)
    assert run_times("begun", started, seconds=1.23456, images=3)["pipeline_seconds"] == 1.235
