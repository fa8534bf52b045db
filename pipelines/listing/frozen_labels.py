"""Labels of a CSV file, frozen in the output for workers that list: sorted, in files of bounded size."""

import bisect
import functools
import gzip
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

from digitmill.storage import OutputFolder
from pipelines.listing.true_labels import Label, LabelsFile
from schemas.layout import LABELS_INDEX, labels_listing

_LABELS_OF_A_FILE: Final = 65_536


def freeze_labels(labels: LabelsFile) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of labels, then of the index that makes them valid."""
    firsts, rest = [], iter(labels)
    for number in itertools.count():
        some = list(itertools.islice(rest, _LABELS_OF_A_FILE))
        if not some:
            break
        firsts.append(some[0][0])
        yield labels_listing(number), gzip.compress(json.dumps(some).encode(), 1, mtime=0)
    yield LABELS_INDEX, json.dumps({"firsts": firsts, "file": str(labels)}).encode()


class FrozenLabels:
    """The frozen labels of a run, with one file in memory at a time; a `FileLabels`."""

    def __init__(self, output: OutputFolder, index: Mapping[str, Any]) -> None:
        self._output = output
        self._firsts: list[str] = index["firsts"]
        self._file: str = index["file"]
        # Images arrive in the order of their URIs.
        self._read = functools.lru_cache(maxsize=1)(self._read_file)

    @classmethod
    def open(cls, output: OutputFolder) -> Self | None:
        """Open the frozen labels of a run; None if there are none."""
        try:
            return cls(output, json.loads(output.read(LABELS_INDEX)))
        except FileNotFoundError:
            return None

    def __str__(self) -> str:
        return self._file

    def of(self, uri: str) -> tuple[Label | None, Mapping[int, Label]]:
        """Return the label of a file and those of its pages."""
        number = bisect.bisect_right(self._firsts, uri) - 1
        return self._read(number).get(uri, (None, {})) if number >= 0 else (None, {})

    def _read_file(self, number: int) -> dict[str, tuple[Label | None, Mapping[int, Label]]]:
        rows = json.loads(gzip.decompress(self._output.read(labels_listing(number))))
        return {
            uri: (label and Label(*label), {int(page): Label(*each) for page, each in pages.items()})
            for uri, label, pages in rows
        }
