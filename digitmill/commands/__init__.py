"""Building blocks of every verb's command: flags and their groups, value types, `--config`, `--json`.

`verb` makes a command. Its flags are the fields of an `Options` class, each declared by `flag`; a verb
without its own job declares them by cloup's `option` and `argument`. `answer` prints the result. `main` runs
a command as the main program, formats its errors and sets the exit code.
"""

from cloup import OptionGroup, argument, option

from digitmill.commands.answers import answer
from digitmill.commands.entry_point import main
from digitmill.commands.options import Effect, Options, beam_flags, flag, positional
from digitmill.commands.verb import verb

__all__ = [
    "Effect",
    "OptionGroup",
    "Options",
    "answer",
    "argument",
    "beam_flags",
    "bundle_flags",
    "entry_point",
    "flag",
    "main",
    "option",
    "options",
    "parameter_types",
    "positional",
    "progress_bar",
    "run_config",
    "stop_signals",
    "verb",
    "verbosity",
]
