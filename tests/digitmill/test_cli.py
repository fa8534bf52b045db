import json
import logging
import os
import pathlib
import pty
import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner

from digitmill import cli
from digitmill.cli import main
from digitmill.commands import verb as verb_decorator
from digitmill.commands import verbosity
from digitmill.commands.verb import Verb
from schemas.errors import ExitCode, JobFailedError, UnreconciledError, UserError

HEAVY = ("tensorflow", "keras", "apache_beam", "numpy", "cv2", "matplotlib", "jinja2")


@pytest.fixture
def run(capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process; return exit code, standard output and standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return caught.value.code, printed.out, printed.err

    return call


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        *([verb, "--help"] for verb in cli.VERBS),
        ["recipes"],
        ["--version"],
    ],
)
def test_help_loads_no_job(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom digitmill.cli import main\ntry:\n    main(sys.argv[1:])\n"
        f"finally:\n    print('LOADED', *sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "LOADED"
    assert len(done.stdout.splitlines()) > 1


def test_the_list_of_verbs_and_its_completion_import_none() -> None:
    program = (
        "import sys, click\nfrom click.testing import CliRunner\n"
        "from digitmill.cli import digitmill, VERBS\n"
        "assert 'doctor' in CliRunner().invoke(digitmill, ['--help']).output\n"
        "offered = {item.value for item in digitmill.shell_complete(click.Context(digitmill), '')}\n"
        "assert offered == {*VERBS}\n"
        "places = [verb.place.partition(':')[0] for verb in VERBS.values()]\n"
        "assert not set(places) & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)


def test_help_lists_every_verb(run: Callable) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for verb in cli.VERBS:
        assert f"  {verb} " in out


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help_with_an_example(run: Callable, verb: str) -> None:
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert f"digitmill {verb}" in out


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_groups_its_flags_and_takes_config_and_json(verb: str) -> None:
    command = cli.digitmill.get_command(click.Context(cli.digitmill), verb)
    assert isinstance(command, Verb)
    assert {option.name for option in command.ungrouped_options} == {"config", "json", "quiet", "verbose"}


@pytest.mark.parametrize(
    ("words", "position", "offered"),
    [
        ("digitmill sc", 1, {"score"}),
        ("digitmill score --inp", 2, {"--input", "--input-list"}),
        ("digitmill train --recipe dense-3", 3, {"dense-300-100"}),
        ("digitmill score --engine lite", 3, {"litert", "litert_int8"}),
        ("digitmill score --output x", 3, {"x"}),
    ],
)
def test_shells_complete(
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    position: int,
    offered: set[str],
) -> None:
    monkeypatch.setenv("_DIGITMILL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(position))
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 0
    assert {line.partition(",")[2] for line in capsys.readouterr().out.splitlines()} == offered


def test_colors_are_off_unless_a_terminal_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = pty.openpty()
    for environment, colored in (({}, True), ({"NO_COLOR": "1"}, False)):
        subprocess.run(
            [sys.executable, "-m", "digitmill", "recipes", "--help"],
            env={**os.environ, "TERM": "xterm", **environment},
            stdout=follower,
            check=True,
            timeout=120,
        )
        assert (b"\x1b[" in os.read(leader, 100_000)) == colored
    os.close(follower)
    os.close(leader)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scor"], ["scor", "Did you mean", "'score'", "digitmill --help"]),
        (["xyzzy"], ["No such command 'xyzzy'"]),
        (["verify", "--jsn", "x"], ["--jsn", "Did you mean '--json'?"]),
        (["train", "--recpie", "cnn"], ["Did you mean", "'--recipe'"]),
        (["review", "x", "--to", "y"], ["No such option '--to'. See `digitmill review --help`."]),
        (["report", "--to", "--quiet", "x"], ["'--to': '--quiet' is a flag, not a path"]),
        (["score", "x", "--output", "--resume"], ["'--output'", "'--resume' is a flag, not a path"]),
        (["sample", "x", "--n", "501"], ["500 images", "501"]),
        (["score"], ["Missing option '--output'", "digitmill score --help"]),
        (["score", "--model", "m", "--output", "o"], ["'--input' or '--input-list'"]),
        (["score", "--input"], ["--input", "requires an argument"]),
        (
            ["score", "--input", "x", "--model", "m", "--output", "o", "--accept-threshold", "2"],
            ["2.0 is not in the range"],
        ),
        (
            ["score", "--input", "x", "--model", "m", "--output", "o", "--engine", "gpu"],
            ["gpu", "auto", "litert", "saved_model"],
        ),
        (
            ["score", "--input", "x", "--model", "m", "--output", "o", "--modle", "y"],
            ["Did you mean --model"],
        ),
        (
            ["score", "--input", "none", "--model", "none", "--output", "o"],
            ["model bundle not found", "'none'"],
        ),
        (["train", "--recipe", "cnm", "--output", "o"], ["cnm", "cnn"]),
        (["train", "--recipe", "cnn", "--data", "odd", "--output", "o"], ["odd"]),
        (["train", "--recipe", "cnn", "--epochs", "0", "--output", "o"], ["0"]),
        (["train", "--recipe", "cnn", "--epochs", "many", "--output", "o"], ["many"]),
        (
            ["train", "--recipe", "cnn", "--target-accuracy", "99", "--output", "o"],
            ["--target-accuracy", "99"],
        ),
        (["evaluate"], ["Missing option '--data'", "digitmill evaluate --help"]),
        (["evaluate", "--data", "sample", "--model", "none"], ["model bundle not found: 'none'"]),
        (["card", "none"], ["model bundle not found: 'none'", "bundle folder"]),
        (
            ["score", "--inptu", "x", "--output", "o"],
            ["No such option '--inptu'", "Did you mean", "'--input'"],
        ),
        (["score", "--input", "x", "--outptu", "o"], ["No such option '--outptu'. Did you mean '--output'?"]),
        (["pack", "-o", "o"], ["Missing option '--input'"]),
        (["score", "-i", "x", "y", "-o", "o"], ["input not found: 'x'"]),
        (["score", "y", "-o", "o", "-m", "b"], ["model bundle not found: 'b'"]),
        (["pack", "y", "-o", "o"], ["input not found: 'y'"]),
        (["pack", "--inputs=x", "--output", "o"], ["No such option '--inputs'. Did you mean '--input'?"]),
        (["recipes", "extra"], ["(extra). See `digitmill recipes --help`."]),
        (["verify", "none"], ["run not found: 'none'. Check the path."]),
        (["sample", "x", "--split", "all"], ["all"]),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(
    run: Callable,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (ExitCode.USAGE, "")
    assert err.startswith("digitmill: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for word in words:
        assert word in err
    assert list(tmp_path.iterdir()) == []


def test_bare_it_shows_its_help_without_colors_in_a_log() -> None:
    done = subprocess.run([sys.executable, "-m", "digitmill"], capture_output=True, check=False, timeout=120)
    assert done.returncode == ExitCode.USAGE
    assert b"Usage: digitmill" in done.stderr
    assert b"\x1b[" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["card", "none", "--json"],
            {"error": "model bundle not found", "value": "none"},
        ),
        (["verify", "--json", "--nothing"], {}),
        (["evaluate", "--json"], {}),
    ],
)
def test_asked_for_json_a_failure_is_json_too(run: Callable, arguments: list[str], said: dict) -> None:
    code, out, err = run(*arguments)
    error = json.loads(out)
    assert (code, error["exit_code"]) == (ExitCode.USAGE, ExitCode.USAGE)
    assert error.keys() == {"error", "value", "hint", "exit_code"}
    assert err.startswith(f"digitmill: {error['error']}")
    assert said.items() <= error.items()


def test_quiet_it_prints_errors_and_json_alone(run: Callable) -> None:
    assert run("recipes", "--quiet") == (0, "", "")
    code, out, err = run("recipes", "-q", "--json")
    assert (code, "cnn" in json.loads(out), err) == (0, True, "")
    code, out, err = run("card", "none", "--quiet")
    assert (code, out) == (ExitCode.USAGE, "")
    assert err.startswith("digitmill: model bundle not found: 'none'.")
    assert not verbosity.is_quiet()


def test_verbose_it_shows_what_libraries_log(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    @verb_decorator("logs")
    def logs() -> None:
        logging.getLogger("apache_beam.runner").info("a bundle begins")

    monkeypatch.setattr(cli.digitmill, "get_command", lambda *_: logs)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    assert run("logs") == (0, "", "")
    _, out, err = run("logs", "--verbose")
    assert (out, "INFO apache_beam.runner: a bundle begins" in err) == ("", True)
    assert run("logs", "-q", "-v")[0] == ExitCode.USAGE


def test_a_deleted_working_directory_is_named(
    run: Callable, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("PWD", str(gone))
    gone.rmdir()
    code, _, err = run("score", "--input", "scans", "--output", "scores")
    assert (code, err) == (
        ExitCode.USAGE,
        f"digitmill: the working directory was deleted: '{gone}'. Change to a folder that exists.\n",
    )


def test_stopped_while_it_imports_it_shows_no_traceback() -> None:
    program = """
import importlib.abc, os, signal, sys
from digitmill import __main__
class Stopping(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "digitmill.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Stopping())
__main__.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (ExitCode.CRASHED, "\ndigitmill: interrupted\n")


@pytest.mark.parametrize("code", [0, 2])
def test_it_ends_at_once_but_after_threads_and_exit_handlers(code: int) -> None:
    program = f"""
import atexit, sys, threading, time
from digitmill import __main__, cli
class Slow:
    def __del__(self):
        print("taken apart", flush=True)
slow = Slow()
def late():
    time.sleep(0.3)
    print("thread")
def verb():
    threading.Thread(target=late).start()
    atexit.register(print, "handler")
    sys.exit({code})
cli.main = verb
__main__.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "thread\nhandler\n", "")


@pytest.mark.parametrize("last", ["sys.modules['tensorflow'] = None; sys.exit(0)", "raise ZeroDivisionError"])
def test_it_ends_as_usual_after_a_training_or_a_crash(last: str) -> None:
    program = f"""
import sys
from digitmill import __main__, cli
class Module:
    def __del__(self):
        print("taken apart")
module = Module()
def verb():
    {last}
cli.main = verb
__main__.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == "taken apart\n"
    assert (done.returncode, "ZeroDivisionError" in done.stderr) in {(0, False), (1, True)}


def test_interrupted_it_prints_what_begins_again(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command(context_settings={"ignore_unknown_options": True})
    @click.argument("words", nargs=-1)
    def waits(words: tuple[str, ...]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.digitmill, "get_command", lambda *_: waits)
    code, out, err = run("review", "a folder", "--page", "x\ny")
    assert (code, out) == (ExitCode.CRASHED, "")
    assert err.splitlines()[-1] == (
        r"digitmill: interrupted. To start again: digitmill review 'a folder' --page $'x\x0ay'"
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("a rule", value=1, hint="mend it"), 2),
        (UnreconciledError("one is missing"), 4),
        (JobFailedError("it diverged"), 1),
        (click.Abort(), 1),
        (click.ClickException("no"), 2),
    ],
)
def test_every_error_has_its_exit_code(
    run: Callable, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    @click.command()
    def fails() -> None:
        raise error

    monkeypatch.setattr(cli.digitmill, "get_command", lambda *_: fails)
    assert run("fails")[0] == code


def test_a_crash_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def fails() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.digitmill, "get_command", lambda *_: fails)
    with pytest.raises(ZeroDivisionError):
        main(["fails"])


@pytest.mark.parametrize("module", ["digitmill", "pipelines.score", "trainer.task"])
def test_modules_are_entry_points(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True
    )
    verb = {"pipelines.score": "digitmill score", "trainer.task": "digitmill train"}.get(module, "digitmill")
    assert done.stdout.startswith(f"Usage: {verb} ")


def test_score_prints_its_summary(
    digit_folder_of_three: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    arguments = [
        "score",
        "--input",
        digit_folder_of_three,
        "--model",
        bundle_path,
        "--output",
        tmp_path / "out",
    ]
    result = CliRunner().invoke(
        cli.digitmill, [*map(str, arguments), "--labels", "folder", "--runner", "FnApiRunner"]
    )
    assert result.exception is None
    assert "images       3" in result.output
    assert (tmp_path / "out" / "manifest.json").exists()


@pytest.fixture
def digit_folder_of_three(
    tmp_path: pathlib.Path, digits: object, labels: object, png_of: Callable
) -> pathlib.Path:
    for number in (0, 100, 200):
        target = tmp_path / "in" / str(labels[number]) / f"{number}.png"
        target.parent.mkdir(parents=True)
        target.write_bytes(png_of(digits[number]))
    return tmp_path / "in"
