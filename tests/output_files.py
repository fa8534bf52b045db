"""Holds an output against the catalog of its files."""

import csv
import gzip
import io
import pathlib
from collections.abc import Sequence

from schemas.outputs import OutputFile


def header_of(path: pathlib.Path) -> list[str]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return next(csv.reader(io.StringIO(text)))


def check_files(output: pathlib.Path, catalog: Sequence[OutputFile], *, exhaustive: bool = False) -> None:
    """Asserts that each file has a line of its own in the catalog, and each line a file.

    Args:
        output: a finished output.
        catalog: what there should be.
        exhaustive: whether what is not always there is there, too.
    """
    names = [path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()]
    seen = set()
    for name in names:
        found = [line for line in catalog if line.matches(name)]
        assert len(found) == 1, (name, [line.name for line in found])
        seen.add(found[0].name)
        assert bool(found[0].columns) == (".csv" in name), name
        if found[0].columns:
            header, known = header_of(output / name), list(found[0].columns)
            assert header[: len(known)] == known, name
            assert bool(found[0].more) == (len(header) > len(known)), (name, header)
    unseen = [line.name for line in catalog if line.name not in seen and (line.always or exhaustive)]
    assert not unseen, unseen
