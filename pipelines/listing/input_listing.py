"""Lists the images of a run's inputs, each URI once and in order, without reading them."""

import bisect
import hashlib
import heapq
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Self

from digitmill.storage import Survey, can_list_ranges, examine_bucket, list_place
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import place_from_anywhere, real_root
from digitmill.storage.object_stores.uris import is_object, split
from digitmill.storage.patterns import compile_pattern, has_magic, split_pattern
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.bucket_ranges import BY_RANGES, RemoteRange, UnlistedRest
from pipelines.listing.key_ranges import KeyRange
from pipelines.listing.named_images import read_names, uri_key
from schemas.errors import UserError, counted
from schemas.layout import named_listing

SERIAL_LIMIT: Final = 100_000
"""Number of names that the launcher lists page by page; workers list the rest in parallel."""

_NAMES_OF_A_FILE: Final = 65_536
"""Names of an input list per worker task; each name takes a request."""

_WRITTEN: Final = (
    "run.json",
    "run.yaml",
    "report.html",
    "listing/launcher-00000.json.gz",
    "predictions/part-0.csv",
    "predictions/part-0.tfrecord.gz",
)
"""Sample names of files that a run writes."""


class Listing:
    """The images of a run, listed lazily, each URI once and in order. Can be iterated once.

    Attributes:
        ranges: key ranges left for workers to list; known after the last image.
        side_files: iterables of name and content of files that workers need to list the ranges.
        survey: counts of what was found besides images; known after the last image.
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
    """Yield every file of the inputs once, sorted by name.

    All files count, even those without an image suffix: a file that is not an image becomes a failure row,
    so that nothing is lost silently. Only files that the survey ignores are left out.

    Args:
        inputs: folders, files or patterns (`*`, `?`, `[…]`, `**`), local or in a bucket. A name that
            exists exactly as given is not a pattern.
        named: further images, sorted.
        survey: selects the files to list and counts the others; None for the default.

    Raises:
        UserError: when an input does not exist, holds or matches nothing, or cannot be listed.
    """
    survey = survey or Survey()
    yield from _merge([named, *_list_inputs(inputs, survey, alone=len(inputs) == 1)], survey)
    _report_vanished(survey)


class _Ignored(ListedImage):
    """A file that an input leaves out, at its place in the listing."""

    __slots__ = ()


def _merge(listed: Iterable[Iterable[ListedImage]], survey: Survey) -> Iterator[ListedImage]:
    """Merge sorted listings, yielding each URI once; count those that are `_Ignored` in all listings.

    A file is counted when its place is reached, although a merge reads ahead in each listing.
    """
    before = ignored = ""
    for image in heapq.merge(*listed, key=_sort_key):
        if type(image) is _Ignored:
            if image.uri not in (before, ignored):
                ignored = image.uri
                survey.ignored += 1
        elif image.uri != before:
            survey.ignored -= image.uri == ignored  # another listing has it
            before = image.uri
            yield image


def _report_vanished(survey: Survey) -> None:
    if survey.vanished:
        print(
            f"{counted(survey.vanished, 'folder')} vanished during the listing; their files are not counted",
            file=sys.stderr,
            flush=True,
        )


def list_with_ranges(
    inputs: Sequence[str], *, limit: int = SERIAL_LIMIT, survey: Survey | None = None
) -> Listing:
    """List inputs; after `limit` names, the rest of buckets is left to workers as key ranges.

    A bucket that does not support listing from a given name is left to workers entirely if it has more names.

    Raises:
        UserError: as in `list_images`, during iteration.
    """
    survey = survey or Survey()

    def images() -> Iterator[ListedImage]:
        small = _SmallBuckets(inputs, survey, limit)
        listed = _list_inputs(small.others, survey, alone=len(inputs) == 1)
        in_ranges = [given for given in small.others if _in_ranges(given)]
        rests = [UnlistedRest.after("", small.large)]
        for number, image in enumerate(_merge([*small.images, *listed], survey), start=1):
            yield image
            # Sorted by URI, local and az:// inputs come before gs:// and s3://, so they are complete here.
            if number >= limit and in_ranges and image.uri.startswith(BY_RANGES):
                rests.append(UnlistedRest.after(image.uri, in_ranges))
                yield from (each for each in _merge(small.images, survey) if each.uri > image.uri)
                break
        else:
            _report_vanished(survey)
        for rest in rests:
            yield from rest.single_objects(survey.selection)
        listing.ranges = tuple(keys for rest in rests for keys in rest.ranges(survey.selection))

    listing = Listing(images(), survey=survey)
    return listing


class _SmallBuckets:
    """Buckets that do not support listing from a given name; the launcher lists the small ones.

    Attributes:
        images: the images of each input in a small bucket, sorted; at most `limit` in total.
        large: the inputs in large buckets, for workers to list.
        others: the inputs that are not in such buckets.
    """

    def __init__(self, inputs: Sequence[str], survey: Survey, limit: int) -> None:
        self.images: list[list[ListedImage]] = []
        self.large: list[str] = []
        self.others: list[str] = []
        buckets: dict[tuple[str, str], list[str]] = {}
        for given in inputs:
            if is_object(given) and not _in_ranges(given):
                # Group by bucket, because inputs may overlap.
                buckets.setdefault(split(given)[:2], []).append(given)
            else:
                self.others.append(given)
        for group in buckets.values():
            met = Survey(survey.selection, strict=survey.strict)
            found = _list_few(group, met, limit - sum(map(len, self.images)))
            if found is None:
                self.large += group
            else:
                self.images += found
                survey.ignored += met.ignored


def _list_few(inputs: Sequence[str], survey: Survey, most: int) -> list[list[ListedImage]] | None:
    """Return the images of each input, sorted; None if there are more than `most`."""
    found = []
    for given in inputs:
        listed = _list_input(given, survey, alone=True, in_order=False)
        # Continue even after `most` images, because an empty input is an error.
        found.append(sorted(itertools.islice(listed, max(most, 0) + 1), key=_sort_key))
        most -= len(found[-1])
    return found if most >= 0 else None


def _in_ranges(given: str) -> bool:
    return can_list_ranges(*split(given)[:2])


def stable_sample(images: Iterable[ListedImage], count: int) -> list[ListedImage]:
    """Return a random sample that changes as little as possible when images are added or removed.

    The sample is the `count` images whose URIs have the lowest hashes. Memory holds no more than these.
    """

    def rank(image: ListedImage) -> bytes:
        return hashlib.blake2b(image.uri.encode(), digest_size=16).digest()

    return sorted(heapq.nsmallest(count, images, key=rank), key=_sort_key)


def _list_inputs(inputs: Iterable[str], survey: Survey, *, alone: bool) -> list[Iterator[ListedImage]]:
    """Return the files of each input, lazily; `alone` if there is no other input."""
    return [
        _list_bucket(given, survey) if _in_ranges(given) else _list_input(given, survey, alone=alone)
        for given in inputs
    ]


def _list_bucket(given: str, survey: Survey) -> Iterator[ListedImage]:
    """Yield an input's files, those that it leaves out as `_Ignored`: the listing may end before them."""
    for number, (image, taken) in enumerate(examine_bucket(given, survey)):
        if not number and not taken:
            _check_any_taken(given, survey)
        yield image if taken else _Ignored(*image)


def _check_any_taken(given: str, survey: Survey) -> None:
    """Raise UserError if an input leaves out all of its files."""
    ignored = 0
    for _, taken in examine_bucket(given, survey):
        if taken:
            return
        ignored += 1
    raise _no_images(given, ignored)


def _list_input(given: str, survey: Survey, *, alone: bool, in_order: bool = True) -> Iterator[ListedImage]:
    """Yield an input's files; it may be empty only if another input has already listed its folders."""
    empty, ignored, passed_over = True, survey.ignored, survey.passed_over
    for image in list_place(given, survey, in_order=in_order):
        empty = False
        yield image
    if empty and (alone or survey.passed_over == passed_over):
        if survey.ignored > ignored:
            raise _no_images(given, survey.ignored - ignored)
        raise UserError("the input holds no files", value=given, hint="check the path or the pattern")


def _no_images(given: str, ignored: int) -> UserError:
    hint = f"check --include and --exclude, which leave out {counted(ignored, 'file')}"
    return UserError("the input holds no images", value=given, hint=hint)


def _sort_key(image: ListedImage) -> bytes:
    return uri_key(image.uri)


def check_output_outside_inputs(inputs: Sequence[str], output: str) -> None:
    """Raise UserError if the output is inside an input, where the next run would score it."""
    for given in inputs:
        # Check more than its folder: the output may not exist yet, or be a link.
        here, there = (
            place.rstrip("/") if split(place)[1] else os.path.realpath(place_from_anywhere(place))
            for place in (given, output)
        )
        if there == here or there.startswith(here.rstrip("/") + "/") or _matches_in(there, given):
            raise UserError(
                "the output is inside an input", value=output, hint="choose a folder outside the input"
            )


def _matches_in(output: str, given: str) -> bool:
    """Whether a pattern matches files that a run would write to its output, given as a real path."""
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


def read_input_list(
    given: str, limits: ReadLimits | None = None, *, carry: Sequence[str] = ()
) -> list[ListedImage]:
    """Return the images that a file lists, each once, sorted by name.

    The file has one name per line, or is a CSV with a column `path` or `image`. Names are URIs, absolute
    paths, or paths relative to the list's own folder. Links in an image's folder path are resolved. Images
    carry the columns in `carry`, and also `field` and `position` if the list has both.

    Raises:
        UserError: when the file cannot be read, is empty or lacks a column.
    """
    return list(read_names(given, carry=carry).find(limits))


def list_named(
    given: str, limits: ReadLimits | None = None, *, limit: int = SERIAL_LIMIT, carry: Sequence[str] = ()
) -> Listing:
    """List what `read_input_list` returns; after `limit` names, workers look up objects from files of names.

    Raises:
        UserError: as in `read_input_list`.
    """
    names = read_names(given, carry=carry)
    # Local files sort first, so the launcher lists them; workers may not see them.
    here = max(limit, bisect.bisect_left(names.uris, True, key=is_object))
    listing = Listing(names.part(0, here).find(limits))
    files = {
        named_listing(number): names.part(start, start + _NAMES_OF_A_FILE)
        for number, start in enumerate(range(here, len(names.uris), _NAMES_OF_A_FILE))
    }
    listing.ranges = tuple(
        RemoteRange("", KeyRange(named.uris[0], ""), "", names=name) for name, named in files.items()
    )
    listing.side_files.append(lambda: ((name, named.to_bytes()) for name, named in files.items()))
    return listing
