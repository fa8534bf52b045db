"""The command `digitmill`, also as `python -m digitmill`."""

import os
import signal

TYPE_CHECKING = False  # what is imported here delays the handler of Ctrl-C

if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

_CRASHED = 1
"""`ExitCode.CRASHED`, which is not imported yet."""


def main() -> "NoReturn":
    """Run the verb given by the process's arguments, and exit with its `ExitCode`."""
    # Until the verb handles signals itself, Ctrl-C would show a traceback of the imports.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit)
    from digitmill import import_path

    import_path.check()
    from digitmill import cli

    cli.main()


def _exit(number: int, frame: "FrameType | None") -> None:
    del number, frame
    os.write(2, b"\ndigitmill: interrupted\n")
    os._exit(_CRASHED)


if __name__ == "__main__":
    main()
