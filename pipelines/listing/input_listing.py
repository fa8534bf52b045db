"""Lists the images of a run's inputs, each URI once and in order, before anything is read."""

import csv
import dataclasses
import hashlib
import heapq
import io
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Self

from digitmill.storage import ImageReader, Selection, Survey, list_place, open_text
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import RealNames, path_of, place_from_anywhere, real_root, uri_in
from digitmill.storage.object_stores.uris import GS, split
from digitmill.storage.patterns import compile_pattern, has_magic, literal_prefix, split_pattern
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.key_ranges import KeyRange, prefix_end, split_range
from schemas.errors import UserError

SERIAL_LIMIT: Final = 100_000
"""Names that the launcher lists one page after the other; workers list the rest in parallel."""

_WRITTEN: Final = (
    "run.json",
    "run.yaml",
    "report.html",
    "listing/launcher-00000.json.gz",
    "predictions/part-0.csv",
    "predictions/part-0.tfrecord.gz",
)
"""Samples of the files that a run writes."""


@dataclasses.dataclass(frozen=True)
class RemoteRange:
    """A key range of a `gs://` bucket that a worker lists; names match the pattern, if there is one.

    Attributes:
        folder: what the names of the input begin with; `selection` looks at the rest of them.
    """

    bucket: str
    keys: KeyRange
    pattern: str
    folder: str = ""
    selection: Selection = Selection()  # noqa: RUF009 - frozen


class Listing:
    """The images of a run, listed lazily: each URI once, in order. Can be iterated once.

    Attributes:
        ranges: key ranges left for workers to list; known after the last image.
        survey: what was met besides images; known after the last image.
    """

    def __init__(
        self, images: Iterable[ListedImage], *, limit: int | None = None, survey: Survey | None = None
    ) -> None:
        self._images: Iterator[ListedImage] = itertools.islice(images, limit)
        self.ranges: tuple[RemoteRange, ...] = ()
        self.survey = survey or Survey()

    def __iter__(self) -> Iterator[ListedImage]:
        return self._images

    def map(self, change: Callable[[Iterator[ListedImage]], Iterator[ListedImage]]) -> Self:
        """Pass the images through a generator and return the same listing."""
        self._images = change(self._images)
        return self

    def begin(self) -> None:
        """List the first image, so that an input that cannot be listed is reported early.

        Raises:
            UserError: when an input does not exist, holds or matches nothing, or cannot be listed.
        """
        self._images = itertools.chain(list(itertools.islice(self._images, 1)), self._images)


def list_images(
    inputs: Sequence[str], named: Iterable[ListedImage] = (), *, survey: Survey | None = None
) -> Iterator[ListedImage]:
    """Yield every file of the inputs once, in the order of their names.

    All files count, also those without an image's suffix: a file that is no image becomes a failure row,
    so that nothing is lost silently. Only what the survey ignores is left out.

    Args:
        inputs: folders, files or patterns (`*`, `?`, `[…]`, `**`), local or in a bucket. A name that
            exists exactly as given is not a pattern.
        named: further images, in order.
        survey: what the listing goes by, and where it counts what is not listed; None for the default.

    Raises:
        UserError: when an input does not exist, holds or matches nothing, or cannot be listed.
    """
    survey = survey or Survey()
    before = None
    alone = len(inputs) == 1
    listed = (_list_input(given, survey, alone=alone) for given in inputs)
    for image in heapq.merge(named, *listed, key=_sort_key):
        if before is None or image.uri != before.uri:
            yield image
        before = image
    if survey.vanished:
        print(
            f"{survey.vanished:,} folders vanished while the input was listed; what they held is not counted",
            file=sys.stderr,
            flush=True,
        )


def list_with_ranges(given: str, *, limit: int = SERIAL_LIMIT, survey: Survey | None = None) -> Listing:
    """List one input; beyond `limit`, the rest of a `gs://` folder is left to workers, in key ranges.

    Raises:
        UserError: as `list_images`, while it is iterated.
    """
    survey = survey or Survey()

    def images() -> Iterator[ListedImage]:
        for number, image in enumerate(list_images([given], survey=survey), start=1):
            yield image
            if number == limit and given.startswith(GS):
                listing.ranges = _ranges_after(image, given, survey.selection)
                return

    listing = Listing(images(), survey=survey)
    return listing


def stable_sample(images: Iterable[ListedImage], count: int) -> list[ListedImage]:
    """Return a random sample that is stable: images that come or go change as little of it as possible.

    Images are ranked by a hash of their URIs, and the first `count` are taken. No more are held in memory.
    """

    def rank(image: ListedImage) -> bytes:
        return hashlib.blake2b(image.uri.encode(), digest_size=16).digest()

    return sorted(heapq.nsmallest(count, images, key=rank), key=_sort_key)


def _list_input(given: str, survey: Survey, *, alone: bool) -> Iterator[ListedImage]:
    """Yield an input's files; it may only be empty where another input has listed its folders before."""
    empty, ignored, passed_over = True, survey.ignored, survey.passed_over
    for image in list_place(given, survey):
        empty = False
        yield image
    if empty and (alone or survey.passed_over == passed_over):
        if survey.ignored > ignored:
            hint = f"check --include and --exclude: {survey.ignored - ignored:,} files are ignored"
            raise UserError("input holds no images", value=given, hint=hint)
        raise UserError("input holds no files", value=given, hint="check the path or the pattern")


def _sort_key(image: ListedImage) -> bytes:
    # Folders are walked in the order of their paths; percent-encoding would change it.
    return path_of(image.uri) if image.uri.startswith("file:") else image.uri.encode()


def check_output_outside_inputs(inputs: Sequence[str], output: str) -> None:
    """Raise UserError if the output is inside an input, where the next run would score it."""
    for given in inputs:
        # Not only its folder: the output may not exist yet, or be a link.
        here, there = (
            place.rstrip("/") if split(place)[1] else os.path.realpath(place_from_anywhere(place))
            for place in (given, output)
        )
        if there == here or there.startswith(here.rstrip("/") + "/") or _matches_in(there, given):
            raise UserError("the output lies in an input", value=output, hint="name a folder outside of it")


def _matches_in(output: str, given: str) -> bool:
    """Whether a pattern matches files that a run would write to its output, a real place."""
    if split(given)[1]:
        root, pattern = split_pattern(given) if has_magic(given) else (given, "")
    else:
        real, pattern = real_root(given)
        root = os.fsdecode(real)
    below = os.path.join(root, "")
    if not pattern or not output.startswith(below):
        return False
    expression = compile_pattern(pattern)
    return any(expression.fullmatch(f"{output.removeprefix(below)}/{name}") for name in _WRITTEN)


def _ranges_after(last: ListedImage, given: str, selection: Selection) -> tuple[RemoteRange, ...]:
    _, bucket, name = split(given)
    pattern = name if has_magic(name) else ""
    prefix = literal_prefix(pattern) if pattern else name and f"{name.removesuffix('/')}/"

    from digitmill.storage.object_stores import google

    def first_name(start: str, end: str) -> str | None:
        for image in google.list_objects(bucket, start=start, end=end, most=1):
            return split(image.uri)[2]
        return None

    # The next possible name: nothing lies between a name and the name followed by a NUL.
    rest = KeyRange(split(last.uri)[2] + "\0", prefix_end(prefix) if prefix else "")
    folder = prefix[: prefix.rfind("/") + 1]
    return tuple(
        RemoteRange(bucket, keys, pattern, folder, selection)
        for keys in split_range(rest, first_name, prefix=prefix)
    )


def read_input_list(given: str, limits: ReadLimits | None = None) -> list[ListedImage]:
    """Return the images that a file lists, each once, in the order of their names.

    The file has one name per line, or is a CSV with a column `path` or `image`. Names are URIs, absolute
    paths, or paths relative to the file's own folder. A file is known by the real path of its folder.

    Raises:
        UserError: when the file cannot be read or names nothing.
    """
    try:
        with open_text(given) as file:
            text = file.read()
        if "\0" in text:
            raise UserError("input list is not UTF-8 text", value=given, hint="save it as UTF-8")
        names = list(_names(text))
    except (OSError, csv.Error) as error:
        raise UserError(
            f"cannot read the input list ({error})", value=given, hint="check the path and the file"
        ) from error
    if not names:
        raise UserError("input list names no images", value=given, hint="write one path or URI per line")
    real = RealNames()
    uris = sorted({real[uri_in(name, given)] for name in names})
    with ImageReader(limits) as reader:
        return sorted(reader.find(uris), key=_sort_key)


def _names(text: str) -> Iterator[str]:
    header = [cell.strip().lower() for cell in next(csv.reader(io.StringIO(text, newline="")), [])]
    column = next((header.index(name) for name in ("path", "image") if name in header), None)
    if column is not None:
        rows = csv.reader(io.StringIO(text, newline=""))
        next(rows)
        yield from (row[column] for row in rows if len(row) > column and row[column])
        return
    lines = text.split("\n")
    # A name may end in a carriage return; if every line does, these are Windows line ends.
    if all(line.endswith("\r") for line in lines if line):
        lines = [line.removesuffix("\r") for line in lines]
    yield from filter(None, lines)
