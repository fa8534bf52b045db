"""The command `digitmill`, also as `python -m digitmill`."""

import atexit
import gc
import os
import signal
import sys

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
    gc.disable()  # imports make many objects and no garbage
    codes: list[int] = []
    # What is registered first runs last: when threads and what they use have been cleared up.
    atexit.register(_leave, codes)
    from digitmill import import_path

    import_path.check()
    from digitmill import cli

    gc.enable()
    try:
        cli.main()
    except SystemExit as end:
        codes += [end.code] if isinstance(end.code, int) else []
        raise


def _leave(codes: "list[int]") -> None:
    """End the process with its exit code, if it has one, without taking apart each module.

    Taking them apart takes half a second once Beam has been imported. A training needs it, because workers
    of TensorFlow wait for each other then.
    """
    if codes and "tensorflow" not in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(codes[0])


def _exit(number: int, frame: "FrameType | None") -> None:
    del number, frame
    os.write(2, b"\ndigitmill: interrupted\n")
    os._exit(_CRASHED)


if __name__ == "__main__":
    main()
