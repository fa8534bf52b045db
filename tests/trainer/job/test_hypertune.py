import json

import pytest

from trainer.job.hypertune import METRIC, TRIAL, report_epochs
from trainer.run.history import Epoch

EPOCHS = [Epoch(n, 0.5, 0.8, 0.4, 0.9 + n / 100, 1.0, 1000.0) for n in (1, 2)]


@pytest.fixture
def metrics(tmp_path, monkeypatch):
    file = tmp_path / "hypertune" / "output.metrics"
    monkeypatch.setenv("CLOUD_ML_HP_METRIC_FILE", str(file))
    monkeypatch.delenv(TRIAL, raising=False)
    return file


def test_a_trials_chief_reports_each_epoch(metrics, monkeypatch):
    monkeypatch.setenv(TRIAL, "3")
    assert list(report_epochs(EPOCHS, chief=True)) == EPOCHS
    told = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [(line["trial"], line["global_step"], float(line[METRIC])) for line in told] == [
        ("3", "1", 0.91),
        ("3", "2", 0.92),
    ]


@pytest.mark.parametrize(("trial", "chief"), [(None, True), ("3", False)])
def test_others_report_nothing(metrics, monkeypatch, trial, chief):
    if trial:
        monkeypatch.setenv(TRIAL, trial)
    assert list(report_epochs(EPOCHS, chief=chief)) == EPOCHS
    assert not metrics.exists()


def test_without_hypertune_training_continues_with_a_warning(metrics, monkeypatch, capsys):
    monkeypatch.setenv(TRIAL, "3")
    monkeypatch.setitem(__import__("sys").modules, "hypertune", None)
    assert list(report_epochs(EPOCHS, chief=True)) == EPOCHS
    assert "digitmill[tune]" in capsys.readouterr().err
