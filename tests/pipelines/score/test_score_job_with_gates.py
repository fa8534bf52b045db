import pathlib

import pytest

from digitmill.storage import open_folder
from pipelines.output.verification import verify
from pipelines.report.rebuilding import rebuild_report
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from schemas.errors import ExitCode, UserError
from schemas.manifest import Manifest


def options(folder: pathlib.Path, model: pathlib.Path, output: pathlib.Path, **more: object) -> ScoreOptions:
    return ScoreOptions(
        inputs=(str(folder),),
        model=str(model),
        output=str(output),
        beam_flags=("--runner=FnApiRunner",),
        **more,
    )


def test_a_gate_fails_the_run_after_everything_is_written(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = tmp_path / "out"
    gates = ("accepted<0.01", "accuracy<0.9999", "listed>499")
    given = options(digit_folder, bundle_path, output, labels="folder", fail_on=gates)
    summary = run(given)
    assert summary.exit_code == ExitCode.GATE_TRIPPED
    finished = Manifest.from_json((output / "manifest.json").read_text())
    assert finished.tripped == {"accuracy<0.9999": finished.accuracy.value, "listed>499": 500}
    assert finished.drift is not None
    assert finished.options["fail_on"] == "accepted<0.01 accuracy<0.9999 listed>499"
    page = (output / "report.html").read_text()
    assert "<code>accuracy&lt;0.9999</code>" in page
    assert not verify(open_folder(str(output))).findings
    rebuild_report(str(output))
    again = run(options(digit_folder, bundle_path, output, labels="folder", fail_on=gates, resume=True))
    assert again.exit_code == ExitCode.GATE_TRIPPED


def test_gates_that_hold_leave_no_trace_on_the_page(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    summary = run(options(digit_folder, bundle_path, tmp_path / "out", fail_on=("accepted<0.01",)))
    assert (summary.exit_code, summary.manifest.tripped) == (ExitCode.OK, {})
    assert 'role="alert"' not in (tmp_path / "out" / "report.html").read_text()


def test_a_wrong_gate_is_refused_before_anything_is_written(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match="Did you mean drift"):
        options(digit_folder, bundle_path, tmp_path / "out", fail_on=("drfit>0.25",))
