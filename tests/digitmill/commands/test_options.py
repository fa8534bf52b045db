import dataclasses
import enum
import os
import pathlib
import shlex
import subprocess
from typing import Any, ClassVar

import click
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from digitmill.commands import Effect, OptionGroup, Options, answer, beam_flags, flag, positional, verb
from digitmill.commands.options import command_line
from digitmill.commands.parameter_types import FOLDER, FiniteRange
from schemas.errors import UserError

GROUP = OptionGroup("What is painted")


class Color(enum.StrEnum):
    RED = "red"
    BLUE = "dark-blue"


@dataclasses.dataclass(frozen=True)
class PaintOptions(Options):
    VERB: ClassVar[str] = "paint"

    walls: tuple[str, ...] = flag("Walls.", "--wall", group=GROUP, effect=Effect.RUN, required=True)
    output: str = flag("Where.", group=GROUP, type=FOLDER, effect=Effect.RUN, required=True)
    brush: pathlib.Path = flag("Brush.", group=GROUP, fallback=pathlib.Path("own"), effect=Effect.RUN)
    coats: int = flag("Coats.", group=GROUP, type=click.IntRange(min=1), default=2, always=True)
    color: Color = flag("Color.", group=GROUP, default=Color.RED)
    share: float | None = flag("Share.", group=GROUP, type=FiniteRange(0, 1))
    dry: bool | None = flag("Let it dry.", group=GROUP)
    tape: bool = flag("Tape the edges.", group=GROUP, default=True)
    price: float | None = flag("Price.", group=GROUP, effect=Effect.REPORT)
    resume: bool = flag("Resume.", group=GROUP, default=False, effect=Effect.RUN)
    beam_flags: tuple[str, ...] = beam_flags()


@dataclasses.dataclass(frozen=True)
class MorePaintOptions(PaintOptions):
    """The proof: one field more, and nothing else."""

    roof_size: int | None = flag("Square meters of the roof.", group=GROUP)


def command(options: type[Options]) -> click.Command:
    @verb("paint", options=options, context_settings={"ignore_unknown_options": True})
    def paint(asked: Any) -> None:
        answer(None, None)
        click.get_current_context().obj.append(asked)

    return paint


def asked(arguments: list[str], options: type[Options] = PaintOptions) -> Any:
    """What a command line asks for."""
    got: list[Any] = []
    result = CliRunner().invoke(command(options), arguments, obj=got)
    assert result.exit_code == 0, result.output
    return got[0]


REQUIRED = {"walls": ("n", "s w"), "output": "o", "brush": pathlib.Path("own")}
FULL = MorePaintOptions(
    walls=("n",),
    output="a b",
    brush=pathlib.Path("b"),
    coats=1,
    color=Color.BLUE,
    share=0.5,
    dry=False,
    tape=False,
    price=2.5,
    resume=True,
    roof_size=70,
    beam_flags=("--runner=X",),
)


def test_a_flag_that_is_added_in_one_place_is_everywhere(tmp_path: pathlib.Path) -> None:
    words = ["--wall", "n", "--output", "o", "--roof-size", "70"]
    options = asked(words, MorePaintOptions)
    assert options.roof_size == 70
    help_text = CliRunner().invoke(command(MorePaintOptions), ["--help"]).output
    assert "--roof-size INTEGER" in help_text
    assert "Square meters of the roof." in help_text
    assert yaml.safe_load(options.run_config())["paint"]["roof-size"] == 70
    assert options.command().endswith("--roof-size 70")
    assert options.recorded(Effect.RESULT)["roof_size"] == 70
    assert MorePaintOptions.defaults(Effect.RESULT)["roof_size"] is None


@pytest.mark.parametrize("options", [MorePaintOptions(**REQUIRED), FULL])
def test_the_command_and_the_file_give_the_options_back(
    options: MorePaintOptions, tmp_path: pathlib.Path
) -> None:
    program, name, *words = shlex.split(options.command())
    assert (program, name) == ("digitmill", "paint")
    assert asked(words, MorePaintOptions) == options
    (tmp_path / "run.yaml").write_text(options.run_config(), encoding="utf-8")
    repeated = asked(["--config", str(tmp_path / "run.yaml"), "--output", "new"], MorePaintOptions)
    assert repeated == dataclasses.replace(options, output="new", resume=False)


def test_only_what_is_not_the_default_is_written_unless_it_always_is() -> None:
    options = PaintOptions(**REQUIRED)
    assert options.command() == "digitmill paint --wall n --wall 's w' --output o --brush own --coats 2"
    assert options.settings() == {"wall": ("n", "s w"), "brush": pathlib.Path("own"), "coats": 2}


def test_a_command_resumes_or_begins_anew_elsewhere() -> None:
    assert FULL.command().endswith("--roof-size 70 --resume --runner=X")
    assert dataclasses.replace(FULL, resume=False).command(resume=True) == FULL.command()
    assert FULL.command(output="run").endswith("--roof-size 70 --output run --runner=X")
    assert "a b" not in FULL.command(output="run")


def test_values_are_recorded_by_what_they_change() -> None:
    assert FULL.recorded(Effect.REPORT) == {"price": 2.5}
    assert FULL.recorded(Effect.RESULT) == {
        "coats": 1,
        "color": "dark-blue",
        "share": 0.5,
        "dry": False,
        "tape": False,
        "roof_size": 70,
    }
    assert list(FULL.places()) == [("--output", "a b")]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"coats": 0}, ["--coats", "0", "x>=1"]),
        ({"share": float("nan")}, ["--share", "nan"]),
        ({"color": "green"}, ["--color", "'green'", "dark-blue"]),
    ],
)
def test_a_value_that_the_flag_would_refuse_is_refused(wrong: dict, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        PaintOptions(**REQUIRED, **wrong)
    for word in words:
        assert word in str(caught.value)


def test_an_argument_has_no_flag() -> None:
    @dataclasses.dataclass(frozen=True)
    class ShowOptions(Options):
        VERB: ClassVar[str] = "show"
        place: str = positional(metavar="PLACE", type=FOLDER)
        big: bool = flag("Large.", group=GROUP, default=False)

    assert asked(["here", "--big"], ShowOptions) == ShowOptions("here", big=True)
    assert ShowOptions("here", big=True).command() == "digitmill show here --big"


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), max_size=3
    )
)
def test_a_command_is_one_line_and_a_shell_reads_it_as_it_was(arguments: list[str]) -> None:
    arguments = [argument for argument in arguments if os.fsencode(argument)]
    command = command_line("score", *arguments)
    assert " ".join(command.split()) == command
    script = f"digitmill() {{ printf '%s\\0' \"$@\"; }}; {command}"
    shown = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    assert shown.split(b"\0")[1:-1] == [os.fsencode(argument) for argument in arguments]


def test_keywords_of_python_give_what_the_command_line_gives() -> None:
    words = ["--wall", "n", "--output", "o", "--color", "dark-blue", "--brush", "b", "--dry"]
    given = {"walls": "n", "output": pathlib.Path("o"), "color": "dark-blue", "brush": "b", "dry": True}
    assert PaintOptions.from_keywords(given) == asked(words)
    assert PaintOptions.from_keywords(given | {"walls": ["n", "s"]}).walls == ("n", "s")


def test_a_keyword_that_is_no_option_or_is_missing_is_refused() -> None:
    with pytest.raises(UserError, match=r"paint has no such option: 'colur'. Did you mean color?"):
        PaintOptions.from_keywords({**REQUIRED, "colur": "dark-blue"})
    with pytest.raises(UserError, match="paint needs an option: 'output'"):
        PaintOptions.from_keywords({"walls": "n", "brush": "b"})
    with pytest.raises(UserError, match=r"invalid --dry: 'no'. Give True or False"):
        PaintOptions.from_keywords({**REQUIRED, "dry": "no"})
