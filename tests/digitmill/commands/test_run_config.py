import pathlib
import string

import click
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from digitmill.commands import argument, option, run_config, verb
from schemas.errors import UserError


@verb(context_settings={"ignore_unknown_options": True})
@option("--input", "inputs", multiple=True)
@option("--most", type=int)
@option("--rate", type=float, default=0.5)
@option("--output", required=True)
@option("--quick", is_flag=True)
@option("--xla/--no-xla", default=None)
@argument("beam_flags", nargs=-1, type=click.UNPROCESSED)
def try_out(**given: object) -> dict[str, object]:
    return given


def told(*arguments: str, section: object = None, folder: pathlib.Path | None = None) -> dict[str, object]:
    """What the verb is told by a command line, and by a file in the folder."""
    config: tuple[str, ...] = ()
    if folder is not None:
        (folder / "run.yaml").write_text(yaml.safe_dump({"try-out": section}), encoding="utf-8")
        config = ("--config", str(folder / "run.yaml"))
    return try_out.main([*arguments, *config], prog_name="try-out", standalone_mode=False)


def test_a_file_gives_flags_and_arguments(tmp_path):
    section = {"input": ["a", "b"], "most": 3, "rate": 1e-5, "output": "o", "quick": True, "xla": False}
    assert told(section=section | {"beam_flags": ["--runner=X"]}, folder=tmp_path) == {
        "inputs": ("a", "b"),
        "most": 3,
        "rate": 1e-5,
        "output": "o",
        "quick": True,
        "xla": False,
        "beam_flags": ("--runner=X",),
    }


def test_a_file_may_be_in_a_bucket(bucket):
    bucket.put("out/run.yaml", b"try-out:\r\n  output: o\r\n  most: 3\r\n")
    assert told("--config", f"{bucket.uri}/out/run.yaml")["most"] == 3
    with pytest.raises(UserError, match=f"cannot read the file: '{bucket.uri}/none.yaml'"):
        told("--config", f"{bucket.uri}/none.yaml")


def test_flags_win(tmp_path):
    section = {"input": ["a"], "most": 3, "output": "o", "xla": True}
    found = told("--most", "4", "--input", "c", "--no-xla", section=section, folder=tmp_path)
    assert (found["most"], found["inputs"], found["xla"], found["output"]) == (4, ("c",), False, "o")


def test_of_beams_flags_those_that_are_given_come_last(tmp_path):
    section = {"output": "o", "beam_flags": ["--runner=A", "--x=1"]}
    assert told("--runner=B", section=section, folder=tmp_path)["beam_flags"] == (
        "--runner=A",
        "--x=1",
        "--runner=B",
    )


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"mots": 3}, ["mots", "Did you mean most"]),
        ({"zzz": 3}, ["It may name: beam-flags, input, most"]),
        ({"quick": "yes"}, ["quick in --config is not true or false", "yes"]),
        ({"output": True}, ["output in --config is not text or a number", "Write text in quotes"]),
        ({"output": None}, ["is not text or a number"]),
        ({"most": [1, 2]}, ["is not text or a number"]),
        ({"input": [["a"]]}, ["is not text or a number"]),
        ({"config": "other.yaml"}, ["'config'"]),
        ({"json": True}, ["'json'"]),
        (None, ["no section 'try-out'", "Its sections are: try-out"]),
    ],
)
def test_what_a_file_must_not_say_is_refused_in_one_line(section, words, tmp_path):
    with pytest.raises(UserError) as caught:
        told("--output", "o", section=section, folder=tmp_path)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("most", [1.5, "many"])
def test_a_value_of_another_kind_is_refused_as_on_the_command_line(most, tmp_path):
    with pytest.raises(click.BadParameter, match="not a valid integer"):
        told("--output", "o", section={"most": most}, folder=tmp_path)


@pytest.mark.parametrize(("text", "word"), [("a: [", "YAML"), ("- a", "section"), ("", "section")])
def test_a_file_of_another_kind_is_refused(text, word, tmp_path):
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=word):
        told("--config", str(tmp_path / "x.yaml"))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot read the --config file"):
        told("--config", str(tmp_path / "none.yaml"))


def test_json_goes_to_standard_output_alone():
    from digitmill.commands import answer

    @verb()
    def speak() -> None:
        print("a word")
        answer("for people", {"for": ["programs"]})

    for flags, out, err in (
        ([], "a word\nfor people\n", ""),
        (["--json"], '{\n  "for": [\n    "programs"\n  ]\n}\n', "a word\n"),
    ):
        result = CliRunner().invoke(speak, flags)
        assert (result.exit_code, result.stdout, result.stderr) == (0, out, err)


def test_a_run_that_skips_says_how_to_repeat_all_of_it():
    lines = run_config.to_text("score", {"input": ["scans"], "since": "nights"}).splitlines()
    assert lines[1].startswith("# With `since` it scores only what no finished run has")
    assert "since" not in run_config.to_text("score", {"input": ["scans"]})


NAMES = st.text(string.ascii_lowercase + "-", min_size=1).filter(
    lambda name: not run_config._SECRET.search(name)
)
VALUES = st.text().filter(lambda value: not run_config._SECRET_VALUE.search(value))
SETTINGS = st.dictionaries(
    NAMES, st.integers() | st.booleans() | st.floats(allow_nan=False) | VALUES | st.lists(VALUES)
)


@pytest.mark.slow
@given(SETTINGS)
def test_what_is_written_is_read_again(settings):
    plain = {
        name: [each for each in value if not each.startswith("--")] if isinstance(value, list) else value
        for name, value in settings.items()
    }
    assert yaml.safe_load(run_config.to_text("score", plain)) == {"score": plain}


@pytest.mark.parametrize("name", ["a\udcff.png", "näme", "a\nb", "on", "0755", "12:30", "~", "=1"])
def test_odd_names_survive(name):
    text = run_config.to_text("score", {"input": [name]})
    assert yaml.safe_load(text.encode()) == {"score": {"input": [name]}}


@pytest.mark.parametrize(
    ("settings", "kept", "named"),
    [
        (
            {"beam_flags": ("--runner=X", "--s3_secret_access_key=K3Y", "--y=1")},
            ["--runner=X", "--y=1"],
            "--s3_secret_access_key",
        ),
        (
            {"beam_flags": ("--azure_connection_string", "K3Y", "--y", "1")},
            ["--y", "1"],
            "--azure_connection_string",
        ),
        ({"beam_flags": ("--y=1", "--s3_session_token", "--z")}, ["--y=1", "--z"], "--s3_session_token"),
        ({"input": ("a", "https://h/b?sig=K3Y")}, ["a"], "input"),
        ({"input": ("https://me:K3Y@host/b",)}, [], "input"),
    ],
)
def test_secrets_are_left_out_and_named(settings, kept, named):
    text = run_config.to_text("score", settings)
    (name,) = settings
    assert yaml.safe_load(text) == {"score": {name: kept}}
    assert f"# Left out, as it may be secret: {named}\n" in text
    assert "K3Y" not in text


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{BOMB}try-out: {{input: *a11}}", "too many values"),
        (
            "m0: &m0 {a: 1}\n"
            + "".join(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, 12)),
            "too many values",
        ),
        ("try-out: &a {input: [*a]}", "too many values"),
        ("try-out: " + "[" * 5_000, "nested too deeply"),
        ("try-out: {most: 2024-13-99}", "not valid YAML"),
        ("try-out: !!python/object/apply:os.system [true]", "not valid YAML"),
    ],
)
def test_a_file_that_is_made_to_harm_is_refused(tmp_path: pathlib.Path, text: str, said: str) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(UserError, match=said) as refusal:
        told("--output", "o", "--config", str(tmp_path / "run.yaml"))
    assert len(str(refusal.value)) < 1_000


def test_aliases_are_read(tmp_path: pathlib.Path) -> None:
    text = "usual: &usual {most: 3, input: [a]}\ntry-out: {<<: *usual, output: o}"
    (tmp_path / "run.yaml").write_text(text)
    assert told("--config", str(tmp_path / "run.yaml"))["most"] == 3


def test_secrets_are_hidden_in_a_command_line() -> None:
    words = [
        "score",
        "--sign",
        "/keys/k.pem",
        "--input",
        "in",
        "--sign=/keys/k.pem",
        "--api_key=x",
        "--design",
        "d",
    ]
    words += ["s3://user:word@host/b", "--token"]
    assert list(run_config.hide_secrets(words)) == [
        *("score", "--sign", "...", "--input", "in", "--sign=...", "--api_key=...", "--design", "d"),
        *("...", "--token"),
    ]
