"""Fills the measured parts of the docs and README.md, so that no figure is typed by hand.

Usage: python -m benchmarks.page [RESULTS] [--check]

RESULTS is a folder that `python -m benchmarks` wrote; it is copied to docs/benchmarks first. Without it
the pages are made from what stands there. With --check nothing is written, and the exit code is 1 where
a page does not say what docs/benchmarks holds.
"""

import argparse
import json
import pathlib
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Final

from benchmarks import (
    drift_page,
    machine,
    plot,
    promises,
    results,
    robustness_page,
    scale,
    scale_page,
    tables,
    targets,
)
from benchmarks.process import ROOT
from benchmarks.results import Results

KEPT: Final = ROOT / "docs" / "benchmarks"
"""The results that the pages quote."""

PAGES: Final = (
    ROOT / "docs" / "benchmarks.md",
    ROOT / "docs" / "drift.md",
    ROOT / "docs" / "how-to" / "guaranteed-decisions.md",
    ROOT / "docs" / "model.md",
    ROOT / "docs" / "scale.md",
    ROOT / "README.md",
)
STAGES: Final = "stages.txt"
"""Where the time goes, as `benchmarks.stages` has printed it."""

_PART: Final = re.compile(r"(<!-- measured: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
NOT_MEASURED: Final = "Not measured yet."
_ALTERNATIVE: Final = "Bars of every contender's images per second and of its whole command's seconds"
_HEADLINE: Final = ("dense-300-100", 60_000)


def fill(text: str, blocks: Mapping[str, str]) -> str:
    """Return a page with the contents of its marked parts exchanged.

    Args:
        text: the page; a part stands between `<!-- measured: NAME -->` and `<!-- end -->`.
        blocks: for a part's name its content; parts that are not named stay as they are.

    Raises:
        KeyError: when no page could hold such a part.
    """

    def content(part: re.Match[str]) -> str:
        if part[2] not in NAMES:
            raise KeyError(f"there is no measured part {part[2]!r}")
        return f"{part[1]}{blocks[part[2]]}\n{part[3]}" if part[2] in blocks else part[0]

    return _PART.sub(content, text)


def blocks(folder: pathlib.Path) -> dict[str, str]:
    """Return the contents of all measured parts; of those pages where nothing has been measured, none."""
    of_model = robustness_page.blocks(folder / robustness_page.FILE)
    of_model |= drift_page.blocks(folder / drift_page.FILE)
    of_model |= promises.blocks(folder / promises.FILE)
    return scale_page.blocks(folder / scale.FILE) | of_model | _compared(folder)


def _compared(folder: pathlib.Path) -> dict[str, str]:
    if not (folder / results.FILE).exists():
        return {}
    runs = Results(results.read(folder / results.FILE))
    made = {name: _markdown(section, runs) for name, section in tables.SECTIONS.items()}
    made["machine"] = machine.sentences(json.loads((folder / machine.FILE).read_text()))
    made["targets"] = targets.table(runs).to_markdown()
    made["headline"] = headline(runs)
    made["plot"] = f"![{_ALTERNATIVE}](benchmarks/{plot.NAME})" if (folder / plot.NAME).exists() else ""
    if (folder / STAGES).exists():
        made["stages"] = f"```text\n{(folder / STAGES).read_text().rstrip()}\n```"
    # Figures of an earlier run do not stay beside those of this one.
    return {name: made.get(name) or NOT_MEASURED for name in _COMPARED}


_COMPARED: Final = frozenset({*tables.SECTIONS, "machine", "targets", "headline", "plot", "stages"})
NAMES: Final = _COMPARED | {
    *scale_page.NAMES,
    *robustness_page.NAMES,
    *drift_page.NAMES,
    *promises.NAMES,
}
"""The parts that a page may hold."""


def _markdown(section: Callable, runs: Results) -> str:
    return "\n\n".join(table.to_markdown() for table in section(runs))


def headline(runs: Results) -> str:
    """Return the README's table: the dense network, most images."""
    model, images = _HEADLINE
    chosen = runs.where(section="scoring", model=model, images=images)
    return f"```\n{next(tables.scoring(chosen)).to_text()}\n```" if chosen else ""


def keep(folder: pathlib.Path) -> None:
    """Copy results to where the pages quote them from."""
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in (results.FILE, machine.FILE, plot.NAME):
        shutil.copyfile(folder / name, KEPT / name)
    (KEPT / STAGES).unlink(missing_ok=True)
    if (folder / STAGES).exists():
        shutil.copyfile(folder / STAGES, KEPT / STAGES)


def outdated() -> list[pathlib.Path]:
    """Return the pages that do not say what the kept results hold."""
    made = blocks(KEPT)
    return [page for page in PAGES if fill(text := page.read_text(encoding="utf-8"), made) != text]


def write() -> None:
    """Fill the pages from the kept results."""
    made = blocks(KEPT)
    for page in PAGES:
        page.write_text(fill(page.read_text(encoding="utf-8"), made), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="?", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.check:
        wrong = outdated()
        for page in wrong:
            print(f"{page.relative_to(ROOT)} is not what docs/benchmarks holds: run `make bench-page`")
        sys.exit(bool(wrong))
    if arguments.results:
        keep(arguments.results)
    write()


if __name__ == "__main__":
    main()
