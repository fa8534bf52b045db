"""The options of a verb: a frozen dataclass, each field of which declares one flag.

A field is the single definition of a flag. It determines the flag and its help, the key in `run.yaml`, the
words in printed commands, the check of the value, and where a run records it:

    @dataclasses.dataclass(frozen=True)
    class ScoreOptions(Options):
        VERB = "score"
        output: str = flag("Folder for predictions.", group=_OUTPUT, type=FOLDER, required=True)
        limit: int | None = flag("Score the first N files only.", group=_FIRST, metavar="N")

    @verb(options=ScoreOptions)
    def score(options: ScoreOptions) -> None: ...
"""

import dataclasses
import difflib
import enum
import itertools
import os
import pathlib
import shlex
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

import click
import cloup
from cloup import OptionGroup

from digitmill.commands import run_config
from digitmill.commands.parameter_types import LOCAL, LocalPath, NameSet, Place, ValueChoice, place_text
from digitmill.extras import require
from schemas.errors import UserError

_KEY: Final = "digitmill.parameter"
"""Key of a field's metadata under which its declaration stands."""

_CHECKED: Final = (click.IntRange, click.FloatRange, click.Choice, LocalPath, NameSet)
"""Kinds of values that are checked where options are made in Python, too."""

_OF_ONE_OUTPUT: Final = ("output", "resume")
"""Fields that a repeated run does not take over."""


_SHORT: Final = {"inputs": ("-i",), "model": ("-m",), "output": ("-o",)}
"""Short flags, of fields that are flags."""


class Effect(enum.Enum):
    """What a flag affects, which decides where its value is recorded besides `run.yaml`."""

    RESULT = "what is scored, packed or trained: recorded, and a resumed run has the same"
    REPORT = "how the result is reported: recorded"
    RUN = "how the run is done: not recorded, or by the job in its own way"


@dataclasses.dataclass(frozen=True)
class _Parameter:
    """A flag, or an argument without one, as cloup takes it.

    Attributes:
        names: of the flag, as `--input`; empty where they follow from the field.
        settings: further arguments of `kind`; they win over what follows from the field.
        always: whether `run.yaml` and printed commands have the value even where it is the default.
        secret: whether `run.yaml` leaves the value out, and printed commands show the flag's metavar instead.
    """

    kind: Callable[..., Callable[[Callable], Callable]]
    names: Sequence[str]
    settings: Mapping[str, Any]
    effect: Effect
    always: bool = False
    secret: bool = False


def flag(
    meaning: str,
    *names: str,
    group: OptionGroup,
    default: Any = None,
    required: bool = False,
    effect: Effect = Effect.RESULT,
    always: bool = False,
    secret: bool = False,
    **settings: Any,
) -> Any:
    """Return a dataclass field that declares a flag.

    Args:
        meaning: help text of the flag.
        names: names of the flag, if they differ from the field's name with hyphens.
        group: group that lists the flag in the help.
        default: default of the field.
        required: whether field and flag have no default.
        effect: what the flag affects.
        always: whether `run.yaml` and printed commands include the value even if it is the default.
        secret: whether `run.yaml` omits the value, and printed commands show the metavar instead.
        settings: more arguments of `cloup.option`. Type and multiplicity follow from the field's annotation.
            `fallback` is the command line's default for a field without a default.
    """
    if "fallback" in settings:
        settings |= {"default": settings.pop("fallback"), "required": False}
        required = True
    settings |= {"help": meaning, "group": group}
    parameter = _Parameter(cloup.option, names, settings, effect, always, secret)
    return dataclasses.field(default=dataclasses.MISSING if required else default, metadata={_KEY: parameter})


def positional(*, default: Any = dataclasses.MISSING, **settings: Any) -> Any:
    """Return a dataclass field that declares a positional argument; see `flag`."""
    parameter = _Parameter(cloup.argument, (), settings, Effect.RUN)
    return dataclasses.field(default=default, metadata={_KEY: parameter})


def beam_flags(metavar: str = "[BEAM FLAGS]...") -> Any:
    """Return the field `beam_flags`: everything on the command line but the verb's own flags."""
    return positional(metavar=metavar, nargs=-1, type=click.UNPROCESSED, default=())


class Options:
    """Base class of a verb's options; subclasses are frozen dataclasses.

    Raises:
        UserError: when a field has a value that its flag does not accept.
    """

    VERB: ClassVar[str]

    def __post_init__(self) -> None:
        for field in _fields(type(self)):
            kind, value = _click_settings(field).get("type"), getattr(self, field.name)
            if isinstance(kind, Place) and isinstance(value, os.PathLike):
                object.__setattr__(self, field.name, place_text(value))  # from Python, not a shell
            if value is not None and isinstance(kind, _CHECKED):
                _converted(field, kind, value)
        for _, place in self.places():
            if place.startswith("gs://"):
                require("google.cloud.storage", wanted=place)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the options from the values of a command line, by field."""
        return cls(**given)

    @classmethod
    def from_keywords(cls, given: Mapping[str, Any]) -> Self:
        """Return the options from the keywords of a Python call, with the command line's defaults.

        A repeatable flag takes one value or several; members of enumerations are given as their texts.

        Raises:
            UserError: when an option is unknown or missing, or a flag does not accept its value.
        """
        fields = {field.name: field for field in _fields(cls)}
        for name in given:
            if name not in fields:
                close = difflib.get_close_matches(name, fields, n=1)
                hint = f"did you mean {close[0]}?" if close else f"see `digitmill {cls.VERB} --help`"
                raise UserError(f"{cls.VERB} has no such option", value=name, hint=hint)
        values = {name: _taken(fields[name], value) for name, value in given.items()}
        for name, field in fields.items():
            if field.default is dataclasses.MISSING and name not in values:
                if "default" not in _parameter(field).settings:
                    raise UserError(f"{cls.VERB} needs an option", value=name, hint=f"give {name}=")
                values[name] = _parameter(field).settings["default"]
        return cls(**values)

    def settings(self) -> dict[str, object]:
        """Return the given options by their keys in `run.yaml`, without the output."""
        return {
            _key(field): value
            for field, value in self._given()
            if field.name not in _OF_ONE_OUTPUT and not _parameter(field).secret
        }

    def run_config(self) -> str:
        """Return the content of `run.yaml`, which repeats the run into another output."""
        return run_config.to_text(self.VERB, self.settings())

    def command(self, *, resume: bool = False, output: str | None = None) -> str:
        """Return the command line that repeats the run.

        Args:
            resume: whether the command resumes the run, even if the options do not.
            output: another output folder for the same work; None for the original one.
        """
        left_out = ("resume", run_config.BEAM_FLAGS, "output" if output else "")
        words = [
            word
            for field, value in self._given()
            if field.name not in left_out
            for word in _words(field, value)
        ]
        if output:
            words += ["--output", output]
        elif resume or getattr(self, "resume", False):
            words.append("--resume")
        return command_line(self.VERB, *words, *getattr(self, run_config.BEAM_FLAGS, ()))

    def recorded(self, effect: Effect) -> dict[str, Any]:
        """Return the values of all flags with this effect, given or not, by field, as JSON types."""
        return {name: _recordable(getattr(self, name)) for name in self.defaults(effect)}

    @classmethod
    def defaults(cls, effect: Effect) -> dict[str, Any]:
        """Return the defaults of all flags with this effect, by field, as JSON types."""
        fields = (field for field in _fields(cls) if _parameter(field).effect is effect)
        return {field.name: _recordable(field.default) for field in fields}

    def places(self) -> Iterator[tuple[str, str]]:
        """Yield the flags that name a folder, local or in a bucket, with their values."""
        for field, value in self._given():
            if isinstance(_click_settings(field).get("type"), Place):
                for each in value if isinstance(value, tuple) else (value,):
                    yield f"--{_key(field)}", str(each)

    def _given(self) -> Iterator[tuple[dataclasses.Field, Any]]:
        """Yield what is not the default, by field."""
        for field in _fields(type(self)):
            value = getattr(self, field.name)
            if value not in (None, (), "") and (value != field.default or _parameter(field).always):
                yield field, value


def flags(*options: type[Options]) -> Callable[[Callable], Callable]:
    """Return a decorator that adds the flags of all fields in order; the first flag of each name wins."""
    fields: dict[str, dataclasses.Field] = {}
    for each in itertools.chain.from_iterable(map(_fields, options)):
        fields.setdefault(each.name, each)

    def decorate(function: Callable) -> Callable:
        for field in reversed(fields.values()):
            # The last name is the parameter's.
            function = _parameter(field).kind(*_names(field), field.name, **_click_settings(field))(function)
        return function

    return decorate


def command_line(verb: str, *arguments: str) -> str:
    """Return a shell command on one line, even if arguments contain newlines."""
    return " ".join(["digitmill", verb, *map(_quoted, arguments)])


def _quoted(argument: str) -> str:
    if " ".join(argument.split()) == argument:
        return shlex.quote(argument)
    spelled = "".join(
        f"\\x{byte:02x}" if byte <= 0x20 or byte in b"\\'" else chr(byte) if byte < 0x80 else f"\\x{byte:02x}"
        for byte in os.fsencode(argument)
    )
    return f"$'{spelled}'"


def _fields(options: type[Options]) -> Iterator[dataclasses.Field]:
    fields = dataclasses.fields(options)  # type: ignore[arg-type]
    return (field for field in fields if _KEY in field.metadata)


def _taken(field: dataclasses.Field, value: Any) -> Any:
    """Return a value that Python gives as the command line would give it."""
    kind = _click_settings(field).get("type")
    if value is None:
        return None
    if typing.get_origin(_types(field)[0]) is tuple:
        several = (value,) if isinstance(value, str | os.PathLike) else value
        return tuple(map(place_text, several) if isinstance(kind, Place) else several)
    if _is_switch(field) and not isinstance(value, bool):
        raise UserError(f"invalid --{_key(field)}", value=value, hint="give True or False")
    return _converted(field, kind, value) if isinstance(kind, _CHECKED) else value


def _converted(field: dataclasses.Field, kind: click.ParamType, value: Any) -> Any:
    try:
        return kind.convert(value, None, None)
    except click.BadParameter as error:
        shown = place_text(value) if isinstance(value, os.PathLike) else value
        raise UserError(f"invalid --{_key(field)}", value=shown, hint=error.message) from error


def _parameter(field: dataclasses.Field) -> _Parameter:
    return field.metadata[_KEY]


def _recordable(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    from digitmill.storage.names import printable  # not for --help

    return printable(" ".join(map(str, value)) if isinstance(value, tuple) else str(value))


def _names(field: dataclasses.Field) -> Sequence[str]:
    parameter = _parameter(field)
    if parameter.kind is cloup.argument:
        return parameter.names
    if parameter.names:
        return [*parameter.names, *_SHORT.get(field.name, ())]
    name = field.name.replace("_", "-")
    if field.name in _SHORT:
        return [f"--{name}", *_SHORT[field.name]]
    # What is on by default, or by neither, needs a flag that turns it off.
    return [f"--{name}/--no-{name}" if _is_switch(field) and field.default is not False else f"--{name}"]


def _key(field: dataclasses.Field) -> str:
    """Return a field's key in `run.yaml`, which with hyphens before it is its flag."""
    return _names(field)[0].partition("/")[0].removeprefix("--") if _names(field) else field.name


def _words(field: dataclasses.Field, value: Any) -> Iterator[str]:
    """Yield the words of a command line that give a field its value."""
    if isinstance(value, bool):
        yield f"--{_key(field)}" if value else f"--no-{_key(field)}"
        return
    if _parameter(field).secret:
        value = _parameter(field).settings["metavar"]
    for each in value if isinstance(value, tuple) else (value,):
        yield from (f"--{_key(field)}", str(each)) if _names(field) else (str(each),)


def _click_settings(field: dataclasses.Field) -> dict[str, Any]:
    """Return what `cloup.option` or `cloup.argument` takes for a field."""
    parameter, required = _parameter(field), field.default is dataclasses.MISSING
    found: dict[str, Any] = {"required": required}
    if parameter.kind is cloup.option:
        # Of a member of an enumeration click would show the name.
        default = field.default.value if isinstance(field.default, enum.Enum) else field.default
        found |= _kind(field) | ({} if required else {"default": default})
        shown = parameter.settings.get("default", None if required else default)
        found["show_default"] = shown is not False and shown not in (None, (), "")
    return found | dict(parameter.settings)


def _kind(field: dataclasses.Field) -> dict[str, Any]:
    """Return the settings that follow from a field's annotation."""
    if _is_switch(field):
        return {"is_flag": True}
    first = _types(field)[0]
    if typing.get_origin(first) is tuple:
        return {"multiple": True, "type": typing.get_args(first)[0]}
    if issubclass(first, enum.StrEnum):
        return {"type": ValueChoice(first)}
    return {"type": LOCAL if first is pathlib.Path else first}


def _is_switch(field: dataclasses.Field) -> bool:
    return _types(field)[0] is bool


def _types(field: dataclasses.Field) -> Sequence[Any]:
    """Return the types of an annotation such as `int | None`."""
    return typing.get_args(field.type) if isinstance(field.type, types.UnionType) else (field.type,)
