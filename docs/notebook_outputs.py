"""Executes the notebook and writes its outputs into it: `python -m docs.notebook_outputs`."""

import pathlib
import sys

import nbclient
import nbformat

NOTEBOOK = pathlib.Path(__file__).with_name("notebooks") / "first-steps.ipynb"

_WIDGET = "application/vnd.jupyter.widget-view+json"
"""Progress bars: they live as long as the kernel."""


def execute(path: pathlib.Path = NOTEBOOK) -> nbformat.NotebookNode:
    """Return a notebook as it is after all its cells have run; raises CellExecutionError where one fails."""
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, startup_timeout=300, coalesce_streams=True).execute()
    return notebook


def without_bars(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a notebook without what only shows while it runs: bars, warnings and times."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [
                output
                for output in cell.outputs
                if _WIDGET not in output.get("data", {}) and output.get("name") != "stderr"
            ]
    notebook.metadata.pop("widgets", None)
    return notebook


if __name__ == "__main__":
    nbformat.write(without_bars(execute()), NOTEBOOK)
    sys.exit(0)
