"""A command as people paste it into a shell, in one line whatever its arguments hold."""

import os
import shlex


def command_line(verb: str, *arguments: str) -> str:
    """Returns a command of one line for a shell, whatever white space its arguments hold."""
    return " ".join(["digitmill", verb, *map(_quoted, arguments)])


def _quoted(argument: str) -> str:
    if " ".join(argument.split()) == argument:
        return shlex.quote(argument)
    spelled = "".join(
        f"\\x{byte:02x}" if byte <= 0x20 or byte in b"\\'" else chr(byte) if byte < 0x80 else f"\\x{byte:02x}"
        for byte in os.fsencode(argument)
    )
    return f"$'{spelled}'"
