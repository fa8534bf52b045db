"""Lists the images of a run's inputs, each URI once and in order, before anything is read."""

import bisect
import csv
import gzip
import hashlib
import heapq
import io
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Self

from digitmill.storage import ImageReader, Survey, can_list_ranges, list_place, open_text
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import RealNames, path_of, place_from_anywhere, real_root, uri_in
from digitmill.storage.object_stores.uris import is_object, split
from digitmill.storage.patterns import compile_pattern, has_magic, split_pattern
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.bucket_ranges import BY_RANGES, RemoteRange, UnlistedRest
from pipelines.listing.key_ranges import KeyRange
from schemas.errors import UserError
from schemas.layout import named_listing

SERIAL_LIMIT: Final = 100_000
"""Names that the launcher lists one page after the other; workers list the rest in parallel."""

_NAMES_OF_A_FILE: Final = 65_536
"""Names of an input list that a worker looks up: it asks for each object by itself."""

_WRITTEN: Final = (
    "run.json",
    "run.yaml",
    "report.html",
    "listing/launcher-00000.json.gz",
    "predictions/part-0.csv",
    "predictions/part-0.tfrecord.gz",
)
"""Samples of the files that a run writes."""


class Listing:
    """The images of a run, listed lazily: each URI once, in order. Can be iterated once.

    Attributes:
        ranges: key ranges left for workers to list; known after the last image.
        side_files: each yields name and content of files that workers need to list the ranges.
        survey: what was met besides images; known after the last image.
    """

    def __init__(
        self, images: Iterable[ListedImage], *, limit: int | None = None, survey: Survey | None = None
    ) -> None:
        self._images: Iterator[ListedImage] = itertools.islice(images, limit)
        self.ranges: tuple[RemoteRange, ...] = ()
        self.side_files: list[Callable[[], Iterable[tuple[str, bytes]]]] = []
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


def list_with_ranges(
    inputs: Sequence[str], *, limit: int = SERIAL_LIMIT, survey: Survey | None = None
) -> Listing:
    """List inputs; beyond `limit`, the rest of what is in buckets is left to workers, in key ranges.

    Raises:
        UserError: as `list_images`, while it is iterated.
    """
    survey = survey or Survey()
    spread = all(can_list_ranges(*split(given)[:2]) for given in inputs if given.startswith(BY_RANGES))

    def images() -> Iterator[ListedImage]:
        for number, image in enumerate(list_images(inputs, survey=survey), start=1):
            yield image
            # By their URIs, local inputs come first, those of az:// next: they are listed then.
            if number >= limit and spread and image.uri.startswith(BY_RANGES):
                rest = UnlistedRest.after(image.uri, inputs)
                yield from rest.single_objects(survey.selection)
                listing.ranges = rest.ranges(survey.selection)
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
    return _uri_key(image.uri)


def _uri_key(uri: str) -> bytes:
    # Folders are walked in the order of their paths; percent-encoding would change it.
    return path_of(uri) if uri.startswith("file:") else uri.encode()


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


def read_input_list(given: str, limits: ReadLimits | None = None) -> list[ListedImage]:
    """Return the images that a file lists, each once, in the order of their names.

    The file has one name per line, or is a CSV with a column `path` or `image`. Names are URIs, absolute
    paths, or paths relative to the file's own folder. A file is known by the real path of its folder.

    Raises:
        UserError: when the file cannot be read or names nothing.
    """
    with ImageReader(limits) as reader:
        return list(reader.find(_named_uris(given)))


def list_named(given: str, limits: ReadLimits | None = None, *, limit: int = SERIAL_LIMIT) -> Listing:
    """List what `read_input_list` returns; beyond `limit`, objects are left to workers, in files of names.

    Raises:
        UserError: as `read_input_list`.
    """
    uris = _named_uris(given)
    # By their keys, local files come first; workers may not see them.
    here = max(limit, bisect.bisect_left(uris, True, key=is_object))

    def images() -> Iterator[ListedImage]:
        with ImageReader(limits) as reader:
            yield from reader.find(uris[:here])

    listing = Listing(images())
    files = {
        named_listing(number): uris[start : start + _NAMES_OF_A_FILE]
        for number, start in enumerate(range(here, len(uris), _NAMES_OF_A_FILE))
    }
    listing.ranges = tuple(
        RemoteRange("", KeyRange(named[0], ""), "", names=name) for name, named in files.items()
    )
    listing.side_files.append(
        lambda: (
            (name, gzip.compress(json.dumps(named).encode(), 1, mtime=0)) for name, named in files.items()
        )
    )
    return listing


def _named_uris(given: str) -> list[str]:
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
    return sorted({real[uri_in(name, given)] for name in names}, key=_uri_key)


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
