import datetime
import pathlib

import pytest

from digitmill.storage.local_output import LocalFolder
from pipelines.output.finishing import finish_run, run_times
from pipelines.output.reconcile import Reconciliation
from pipelines.report.scoring_report import Baselines, RunReport
from pipelines.statistics.item_statistics import RunStatistics
from schemas.errors import StorageError
from schemas.manifest import Manifest
from tests.lost_hold import LostHold, watch_changes


def test_a_launcher_that_lost_its_output_changes_nothing_more(
    tmp_path: pathlib.Path, manifest: Manifest, statistics: RunStatistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = watch_changes(monkeypatch)
    reconciliation = Reconciliation(statistics, skipped=0, records=(), listing=())
    reports = len(list(RunReport.of(statistics, Baselines()).files(manifest)))
    for most in (0, 1, reports, reports + 1, reports + 2):
        output = LocalFolder(tmp_path / str(most))
        output.claim()
        for name in ("reports/agreement.csv", "reports/originals.json"):
            output.replace(name, b"of other flags")
        changes.clear()
        with pytest.raises(StorageError, match="Leave it alone"):
            finish_run(output, manifest, reconciliation, hold=LostHold(changes, most), baselines=Baselines())
        assert len(changes) == most
        assert not output.exists("manifest.json")


def test_times_are_kept_to_the_millisecond() -> None:
    started = datetime.datetime.now(datetime.UTC)
    assert run_times("begun", started, seconds=1.23456, images=3)["pipeline_seconds"] == 1.235
