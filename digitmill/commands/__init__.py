"""What every verb's command is made of: groups of flags, kinds of values, `--config`, `--json`.

`verb` makes a command; `option` and `option_group` are those of cloup, and `answer` says what came out.
`main` runs a command as the process's own, words its errors and sets the exit code.
"""

from cloup import argument, option, option_group

from digitmill.commands.answers import answer
from digitmill.commands.entry_point import main
from digitmill.commands.verb import verb

__all__ = ["answer", "argument", "main", "option", "option_group", "verb"]
