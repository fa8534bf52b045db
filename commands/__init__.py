"""What every verb's command is made of: groups of flags, kinds of values, `--config`, `--json`.

`verb` makes a command; `option` and `option_group` are those of cloup, and `answer` says what came out.
"""

from cloup import argument, option, option_group

from commands.answers import answer
from commands.verb import verb

__all__ = ["answer", "argument", "option", "option_group", "verb"]
