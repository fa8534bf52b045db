import pathlib
import shlex

import pytest

from digitmill.storage.read_limits import ReadLimits
from pipelines.score import early_checks, score_job
from pipelines.score.score_command import score
from pipelines.score_options import ScoreOptions
from schemas.errors import UserError
from schemas.layout import Compression

ASKED = {"inputs": ("a", "b c"), "model": pathlib.Path("m"), "output": "o"}


def test_only_what_is_not_the_default_is_said() -> None:
    command = ScoreOptions(**ASKED).command()
    assert command == "digitmill score --input a --input 'b c' --model m --output o"


def test_a_command_says_all_that_was_asked_for_and_goes_on() -> None:
    asked = ScoreOptions(
        **ASKED,
        labels="folder",
        accept_threshold=0.5,
        since="nights",
        retry_failures=True,
        sample=7,
        rows_per_part=9,
        compression=Compression.ALL,
        max_failure_rate=0.5,
        connections=3,
        max_requests_per_second=2.5,
        beam_flags=("--runner=FlinkRunner",),
    )
    words = shlex.split(asked.command(resume=True))
    assert words[2:8] == ["--input", "a", "--input", "b c", "--model", "m"]
    for flag, value in {
        "--labels": "folder",
        "--accept-threshold": "0.5",
        "--since": "nights",
        "--sample": "7",
        "--rows-per-part": "9",
        "--compression": "all",
        "--max-failure-rate": "0.5",
        "--connections": "3",
        "--max-requests-per-second": "2.5",
    }.items():
        assert words[words.index(flag) + 1] == value
    assert "--retry-failures" in words
    assert words[-2:] == ["--resume", "--runner=FlinkRunner"]
    assert asked.command(resume=True).count("--resume") == 1
    assert asked.limits == ReadLimits(connections=3, requests_per_second=2.5)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"labels": "folder", "accept_threshold": 0.5, "since": "nights", "retry_failures": True, "sample": 7},
        {"rows_per_part": 9, "compression": Compression.ALL, "beam_flags": ("--runner=X", "--y=1")},
        {"connections": 3, "max_requests_per_second": 2.5, "challenger": pathlib.Path("c d")},
    ],
)
def test_the_file_asks_for_the_same(
    more: dict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, got = ScoreOptions(**ASKED, **more), []

    def run(options: ScoreOptions, pool: object, *, signer: object) -> None:
        got.append(options)
        raise UserError("it is enough", value="", hint="look")

    monkeypatch.setattr(score_job, "run", run)
    # Its places need not exist.
    monkeypatch.setattr(early_checks, "check_early", lambda *_, **__: None)
    (tmp_path / "run.yaml").write_text(asked.run_config(), encoding="utf-8")
    flags = ["--config", str(tmp_path / "run.yaml"), "--output", "o"]
    with pytest.raises(UserError):
        score.main(flags, prog_name="score", standalone_mode=False)
    assert got == [asked]


@pytest.mark.parametrize("wrong", [{"limit": 1, "sample": 1}, {"retry_failures": True}])
def test_what_contradicts_itself_is_refused(wrong: dict) -> None:
    with pytest.raises(UserError):
        ScoreOptions(**ASKED, **wrong)
