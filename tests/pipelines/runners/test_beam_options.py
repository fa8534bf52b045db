import click
import pytest
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from pipelines.runners import beam_options as module
from pipelines.runners import portable_checks
from pipelines.runners.beam_options import IN_PROCESS, in_main_thread, worker_processes
from schemas.errors import UserError


@click.command("score")
@click.option("--model")
def score(model: str) -> None:
    """Has a flag of its own."""


def beam_options(flags: list[str]) -> PipelineOptions:
    with click.Context(score):
        return module.beam_options(flags)


@pytest.mark.parametrize("flags", [[], ["--runner=DirectRunner"], ["--runner", "DirectRunner"]])
def test_the_direct_runner_is_its_in_process_engine(flags: list[str]) -> None:
    assert beam_options(flags).view_as(StandardOptions).runner == IN_PROCESS


def test_other_runners_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []
    monkeypatch.setattr(
        portable_checks, "check_portable", lambda runner, _: looked_at.append(type(runner).__name__)
    )
    assert beam_options(["--runner=FlinkRunner"]).view_as(StandardOptions).runner == "FlinkRunner"
    assert looked_at == ["FlinkRunner"]


def test_beams_flags_reach_beam() -> None:
    assert beam_options(["--direct_num_workers=2"]).view_as(DirectOptions).direct_num_workers == 2


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        (["--runer=DirectRunner"], "Did you mean --runner"),
        (["--modle", "x"], "Did you mean --model"),
        (["--qqqqqqqq"], "See --help"),
        (["stray.png"], "before the flags of Beam"),
        (["--runner=Foo"], "Foo"),
        (["--runner=DataflowRunner"], "project"),
        (["--direct_num_workers=-1"], "0 .all cores. or more"),
    ],
)
def test_an_unknown_flag_is_refused_with_a_hint(flags: list[str], hint: str) -> None:
    with pytest.raises(UserError, match=hint) as caught:
        beam_options(flags)
    assert str(caught.value.value).removeprefix("--runner=") in (
        *flags,
        flags[0].partition("=")[2],
        IN_PROCESS,
    )


@pytest.mark.parametrize(
    ("flags", "alone"),
    [
        ([], True),
        (["--direct_num_workers=2"], False),
        (["--direct_running_mode=multi_threading"], False),
        (["--direct_running_mode=multi_processing"], False),
        (["--direct_runner_bundle_repeat=1"], False),
    ],
)
def test_steps_run_once_in_the_main_thread_unless_flags_say_otherwise(flags: list[str], alone: bool) -> None:
    assert in_main_thread(beam_options(flags)) is alone


def test_an_invalid_value_of_a_beam_flag_is_refused() -> None:
    with pytest.raises(UserError, match=r"direct_num_workers.*invalid int value"):
        beam_options(["--direct_num_workers=many"])


@pytest.mark.parametrize(
    ("flags", "processes"),
    [
        ([], 1),
        (["--runner=FlinkRunner", "--parallelism=8"], 8),
        (["--runner=DataflowRunner", "--num_workers=4"], 4),
        (["--runner=DataflowRunner", "--num_workers=4", "--max_num_workers=50"], 50),
        (["--runner=DataflowRunner", "--max_num_workers=50", "--machine_type=n2-standard-4"], 200),
        (["--runner=DataflowRunner", "--machine_type=custom"], 1),
    ],
)
def test_a_job_has_the_worker_processes_that_its_flags_name(flags: list[str], processes: int) -> None:
    assert worker_processes(PipelineOptions(flags)) == processes
