"""Key ranges of buckets that workers list, and how they cover what the launcher has left of the inputs."""

import dataclasses
import functools
import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

from digitmill.storage import ImageReader, OutputFolder, Selection, Survey, list_keys
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores.uris import is_folder_marker, split
from digitmill.storage.patterns import compile_pattern, has_magic, literal_prefix
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.key_ranges import NUM_RANGES, PAGE, KeyRange, prefix_end, split_range

BY_RANGES: Final = ("gs://", "s3://")
"""How the URIs of buckets begin that are listed in ranges."""

_REQUESTS_AT_ONCE: Final = 8
"""Requests that look for ranges at once: as many connections as Google's client keeps, and some to spare."""


@dataclasses.dataclass(frozen=True)
class BucketInput:
    """An input in a bucket: the names that begin with a prefix and match the pattern, if there is one.

    Attributes:
        folder: what the names begin with; a `Selection` looks at the rest of them.
    """

    prefix: str
    pattern: str
    folder: str

    def keeps(self, name: str, survey: Survey) -> bool | None:
        """Whether an object of this name counts; None if the input does not name it."""
        if not name.startswith(self.prefix) or not (self._matches is None or self._matches(name)):
            return None
        return survey.keep(name[len(self.folder) :])

    @functools.cached_property
    def _matches(self) -> Callable[[str], object] | None:
        return compile_pattern(self.pattern).fullmatch if self.pattern else None


@dataclasses.dataclass(frozen=True)
class RemoteRange:
    """A key range of a bucket that a worker lists; names match the pattern, if there is one.

    Attributes:
        folder: what the names of the input begin with; `selection` looks at the rest of them.
        scheme: of the bucket.
        inputs: the inputs that have names in the range, where they are several; then `pattern` and `folder`
            are empty.
        names: file of the output with the images' URIs, where an input list names them; `keys` begin with
            the first of these.
    """

    bucket: str
    keys: KeyRange
    pattern: str
    folder: str = ""
    selection: Selection = Selection()  # noqa: RUF009 - frozen
    scheme: str = "gs"
    inputs: tuple[BucketInput, ...] = ()
    names: str = ""

    def after(self, image: ListedImage) -> str:
        """Return where the range goes on after an image: nothing lies between a name and it with a NUL."""
        return f"{image.uri if self.names else split(image.uri)[2]}\0"

    def list_images(
        self, start: str, survey: Survey, output: OutputFolder, limits: ReadLimits | None = None
    ) -> Iterator[ListedImage]:
        """Yield the images of the range from a name on; what is left out is counted in the survey."""
        if self.names:
            uris = json.loads(gzip.decompress(output.read(self.names)))
            with ImageReader(limits) as reader:
                yield from reader.find([uri for uri in uris if uri >= start])
            return
        inputs = self.inputs or (BucketInput("", self.pattern, self.folder),)
        for image in list_keys(self.scheme, self.bucket, start=start, end=self.keys.end):
            if not is_folder_marker(image) and _keeps(inputs, split(image.uri)[2], survey):
                yield image

    def split(self, start: str, *, num_ranges: int, least: int = 1) -> "list[RemoteRange]":
        """Return consecutive ranges of the names from one on, found by requests for pages of names."""
        if self.names:
            return [self]

        def first_names(start: str, end: str) -> list[str]:
            listed = list_keys(self.scheme, self.bucket, start=start, end=end, most=PAGE)
            return [split(image.uri)[2] for image in listed]

        rest = KeyRange(start, self.keys.end)
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            ranges = split_range(rest, first_names, num_ranges=num_ranges, least=least, at_once=pool.map)
        return [dataclasses.replace(self, keys=keys) for keys in ranges]


def _keeps(inputs: Iterable[BucketInput], name: str, survey: Survey) -> bool:
    """Whether one of the inputs keeps a name; it is ignored once where others leave it out."""
    ignored = survey.ignored
    verdicts = [each.keeps(name, survey) for each in inputs]
    survey.ignored = ignored + (False in verdicts and True not in verdicts)
    return True in verdicts


@dataclasses.dataclass(frozen=True)
class UnlistedRest:
    """What is left of inputs that are listed up to some URI.

    Attributes:
        last: the URI up to which they are listed, itself included.
        folders: by bucket, as `gs://bucket/`, its inputs that are folders or patterns.
        objects: inputs that are single objects.
    """

    last: str
    folders: Mapping[str, Sequence[BucketInput]]
    objects: Sequence[ListedImage]

    @classmethod
    def after(cls, last: str, inputs: Sequence[str]) -> Self:
        """Return what is left of inputs after a URI; a request for each finds out what it is."""
        folders: dict[str, list[BucketInput]] = {}
        objects: dict[str, ListedImage] = {}
        for given in inputs:
            scheme, bucket, name = split(given)
            root = f"{scheme}://{bucket}/"
            if not given.startswith(BY_RANGES) or (root < last and not last.startswith(root)):
                continue
            exact = list(list_keys(scheme, bucket, start=name, end=f"{name}\0", most=1)) if name else []
            objects |= {image.uri: image for image in exact if not is_folder_marker(image)}
            folders.setdefault(root, []).append(_as_folder(name, exists=bool(exact)))
        return cls(last, folders, [objects[uri] for uri in sorted(objects)])

    def single_objects(self, selection: Selection) -> Iterator[ListedImage]:
        """Yield the single objects that are left and in no range."""
        survey = Survey(selection)
        for image in self.objects:
            scheme, bucket, name = split(image.uri)
            if image.uri > self.last and not _keeps(self.folders[f"{scheme}://{bucket}/"], name, survey):
                yield image

    def ranges(self, selection: Selection) -> tuple[RemoteRange, ...]:
        """Return consecutive ranges of each bucket, which cover the folders and patterns, each name once."""
        whole = [each for root in sorted(self.folders) for each in self._whole_ranges(root, selection)]
        aim = max(1, NUM_RANGES // max(1, len(whole)))
        return tuple(part for each in whole for part in each.split(each.keys.start, num_ranges=aim))

    def _whole_ranges(self, root: str, selection: Selection) -> Iterator[RemoteRange]:
        scheme, bucket, _ = split(root)
        start = f"{self.last.removeprefix(root)}\0" if self.last.startswith(root) else ""
        inputs, end = sorted(self.folders[root], key=lambda each: each.prefix), None
        for each in inputs:
            if end is not None and (not end or each.prefix < end):
                continue  # within the one before
            end = prefix_end(each.prefix)
            keys = KeyRange(max(start, each.prefix), end)
            if end and keys.start >= end:
                continue
            inside = tuple(dict.fromkeys(other for other in inputs if other.prefix.startswith(each.prefix)))
            if len(inside) == 1:
                yield RemoteRange(bucket, keys, each.pattern, each.folder, selection, scheme)
            else:
                yield RemoteRange(bucket, keys, "", "", selection, scheme, inside)


def _as_folder(name: str, *, exists: bool) -> BucketInput:
    # A name that ends in a slash is a folder's, whatever characters it holds.
    if has_magic(name) and not exists and not name.endswith("/"):
        prefix = literal_prefix(name)
        return BucketInput(prefix, name, prefix[: prefix.rfind("/") + 1])
    folder = name if not name or name.endswith("/") else f"{name}/"
    return BucketInput(folder, "", folder)
