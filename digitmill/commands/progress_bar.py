"""Progress bars on a terminal, or as a widget in a notebook; elsewhere callers print lines."""

import sys
from typing import Any

from digitmill.commands.verbosity import is_quiet
from digitmill.extras import is_installed


def shows_bar() -> bool:
    """Whether to show a bar: only on a terminal, because a log file would get a line per update."""
    return not is_quiet() and (sys.stderr.isatty() or in_notebook())


def in_notebook() -> bool:
    """Whether this process is a notebook kernel that can show widgets."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config and is_installed("ipywidgets")


def progress_bar(*arguments: Any, **settings: Any) -> Any:
    """Return a tqdm bar with these arguments, which disappears when done; disabled if not to be shown."""
    settings = {"disable": not shows_bar(), "leave": False, **settings}
    if not settings["disable"] and in_notebook():
        from tqdm.notebook import tqdm as notebook_bar

        return notebook_bar(*arguments, **settings)
    from tqdm import tqdm

    return tqdm(*arguments, **settings)
