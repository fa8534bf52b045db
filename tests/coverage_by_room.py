"""Prints which share of each room's lines and branches the tests ran, lowest first: `make coverage`.

Usage: python tests/coverage_by_room.py REPORT, where REPORT is what `coverage json` wrote.
"""

import collections
import json
import pathlib
import sys

WANTED = 90.0
"""Percent. A room below it is looked at: what no test reaches is tested, or deleted."""


def main(report: str) -> None:
    executed: collections.Counter[str] = collections.Counter()
    possible: collections.Counter[str] = collections.Counter()
    for file, found in json.loads(pathlib.Path(report).read_text())["files"].items():
        room, summary = str(pathlib.Path(file).parent), found["summary"]
        executed[room] += summary["covered_lines"] + summary["covered_branches"]
        possible[room] += summary["num_statements"] + summary["num_branches"]
    shares = {room: 100 * executed[room] / possible[room] for room in possible if possible[room]}
    for room, share in sorted(shares.items(), key=lambda item: item[1]):
        print(f"{share:6.1f} %  {room}" + (f"  (below {WANTED:g} %)" if share < WANTED else ""))
    print(f"{100 * executed.total() / possible.total():6.1f} %  everything")


if __name__ == "__main__":
    main(sys.argv[1])
