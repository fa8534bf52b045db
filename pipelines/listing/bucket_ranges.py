"""Key ranges of buckets for workers to list, and how to cover what the launcher left unlisted."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Self

from digitmill.storage import (
    OutputFolder,
    Selection,
    Survey,
    can_list_ranges,
    first_names,
    list_folder,
    list_keys,
    list_level,
    list_object,
)
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores.bucket import Level
from digitmill.storage.object_stores.uris import is_folder_marker, is_object, split
from digitmill.storage.patterns import compile_pattern, has_magic, literal_prefix
from digitmill.storage.read_limits import ReadLimits
from pipelines.listing.folder_ranges import FolderPart, FolderSplitter, list_part
from pipelines.listing.key_ranges import NUM_RANGES, PAGE, KeyRange, prefix_end, split_range
from pipelines.listing.named_images import NamedImages

BY_RANGES: Final = ("gs://", "s3://")
"""URI prefixes of stores that may support listing from any given name."""

LARGE_FOLDER: Final = 65_536
"""A worker splits a folder with more names than this, if possible, before listing it."""

_REQUESTS_AT_ONCE: Final = 8
"""Number of parallel requests when splitting ranges, below the connection limit of Google's client."""


@dataclasses.dataclass(frozen=True)
class BucketInput:
    """An input in a bucket: the names that begin with a prefix and match the pattern, if there is one.

    Attributes:
        folder: folder that the names are in; a `Selection` matches the names relative to it.
    """

    prefix: str
    pattern: str
    folder: str

    def keeps(self, name: str, survey: Survey) -> bool | None:
        """Whether to list the object with this name; None if it is not part of the input."""
        if not name.startswith(self.prefix) or not (self._matches is None or self._matches(name)):
            return None
        return survey.keep(name[len(self.folder) :])

    def may_name_in(self, folder: str) -> bool:
        """Whether the input may include objects below a folder of the bucket."""
        return folder.startswith(self.prefix) or self.prefix.startswith(folder)

    @functools.cached_property
    def _matches(self) -> Callable[[str], object] | None:
        return compile_pattern(self.pattern).fullmatch if self.pattern else None


@dataclasses.dataclass(frozen=True)
class RemoteRange:
    """A key range of a bucket for a worker to list; names match the pattern, if there is one.

    Attributes:
        folder: folder that the names are in; `selection` matches the names relative to it.
        scheme: URI scheme of the bucket.
        inputs: the inputs with names in the range, if there are several; `pattern` and `folder` are empty
            then.
        part: how to list the range if the bucket cannot list from a given name; `inputs` is set then.
        names: output file with the images' URIs, if they come from an input list; `keys` starts at its
            first URI then.
    """

    bucket: str
    keys: KeyRange
    pattern: str
    folder: str = ""
    selection: Selection = Selection()  # noqa: RUF009 - frozen
    scheme: str = "gs"
    inputs: tuple[BucketInput, ...] = ()
    names: str = ""
    part: FolderPart | None = None

    def fields(self) -> dict[str, Any]:
        """Return the range as JSON data, without an empty `part`, which earlier versions do not know."""
        fields = dataclasses.asdict(self)
        return fields if self.part else {name: fields[name] for name in fields if name != "part"}

    def after(self, image: ListedImage) -> str:
        """Return the next possible name after an image: its name and a NUL."""
        return f"{image.uri if self.names else split(image.uri)[2]}\0"

    def list_images(
        self, start: str, survey: Survey, output: OutputFolder, limits: ReadLimits | None = None
    ) -> Iterator[ListedImage]:
        """Yield the images of the range, starting at a name; the survey counts images that are left out."""
        if self.names:
            names = NamedImages.from_bytes(output.read(self.names))
            yield from names.since(start).find(limits)
            return
        inputs = self.inputs or (BucketInput("", self.pattern, self.folder),)
        for image in self._objects(start):
            if not is_folder_marker(image) and _keeps(inputs, split(image.uri)[2], survey):
                yield image

    def _objects(self, start: str) -> Iterator[ListedImage]:
        if self.part is None:
            return list_keys(self.scheme, self.bucket, start=start, end=self.keys.end)
        prefixes = tuple(each.prefix for each in self.inputs)
        return list_part(
            self.keys,
            self.part,
            start,
            list_folder=lambda folder, start: list_folder(
                self.scheme, self.bucket, folder, prefixes=prefixes, start=start
            ),
            level=self._level,
        )

    def is_large(self) -> bool:
        """Whether to split the range before listing it: a full read would precede its first name."""
        if self.part is None or self.part.one_by_one:
            return False
        names = first_names(self.scheme, self.bucket, self.part.folder, LARGE_FOLDER + 1)
        return sum(1 for _ in names) > LARGE_FOLDER

    def split(self, start: str, *, num_ranges: int, least: int = 1) -> "list[RemoteRange]":
        """Split the range from a name on into smaller ranges, using requests for pages of names."""
        if self.names:
            return [self]
        if self.part is not None:
            return self._split_folders(self.part, start, num_ranges=num_ranges, least=least)

        def first_names(start: str, end: str) -> list[str]:
            listed = list_keys(self.scheme, self.bucket, start=start, end=end, most=PAGE)
            return [split(image.uri)[2] for image in listed]

        rest = KeyRange(start, self.keys.end)
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            ranges = split_range(rest, first_names, num_ranges=num_ranges, least=least, at_once=pool.map)
        return [dataclasses.replace(self, keys=keys) for keys in ranges]

    def _split_folders(
        self, part: FolderPart, start: str, *, num_ranges: int, least: int
    ) -> "list[RemoteRange]":
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            splitter = FolderSplitter(
                functools.partial(first_names, self.scheme, self.bucket),
                lambda folder: self._level(folder).folders,
                pool.map,
            )
            parts = splitter.split(KeyRange(start, self.keys.end), part, num_ranges=num_ranges, least=least)
        return [dataclasses.replace(self, keys=keys, part=part) for keys, part in parts]

    def _level(self, folder: str) -> Level:
        """Return the direct contents of a folder, without folders that no input can have names in."""
        found = list_level(self.scheme, self.bucket, folder)
        folders = [name for name in found.folders if any(each.may_name_in(name) for each in self.inputs)]
        return found._replace(folders=folders)


def _keeps(inputs: Iterable[BucketInput], name: str, survey: Survey) -> bool:
    """Whether any input keeps a name; if none does and some exclude it, count it as ignored once."""
    ignored = survey.ignored
    verdicts = [each.keeps(name, survey) for each in inputs]
    survey.ignored = ignored + (False in verdicts and True not in verdicts)
    return True in verdicts


@dataclasses.dataclass(frozen=True)
class UnlistedRest:
    """The unlisted rest of inputs that were listed up to some URI.

    Attributes:
        last: the last URI that was listed.
        folders: inputs that are folders or patterns, by bucket (`gs://bucket/`).
        objects: inputs that are single objects.
    """

    last: str
    folders: Mapping[str, Sequence[BucketInput]]
    objects: Sequence[ListedImage]

    @classmethod
    def after(cls, last: str, inputs: Sequence[str]) -> Self:
        """Return the rest of inputs after a URI; takes one request per input."""
        folders: dict[str, list[BucketInput]] = {}
        objects: dict[str, ListedImage] = {}
        for given in inputs:
            scheme, bucket, name = split(given)
            root = f"{scheme}://{bucket}/"
            if not is_object(given) or (root < last and not last.startswith(root)):
                continue
            exact = _exact(scheme, bucket, name) if name else []
            objects |= {image.uri: image for image in exact if not is_folder_marker(image)}
            folders.setdefault(root, []).append(_as_folder(name, exists=bool(exact)))
        return cls(last, folders, [objects[uri] for uri in sorted(objects)])

    def single_objects(self, selection: Selection) -> Iterator[ListedImage]:
        """Yield the remaining single objects that are in no range."""
        survey = Survey(selection)
        for image in self.objects:
            scheme, bucket, name = split(image.uri)
            if image.uri > self.last and not _keeps(self.folders[f"{scheme}://{bucket}/"], name, survey):
                yield image

    def ranges(self, selection: Selection) -> tuple[RemoteRange, ...]:
        """Return ranges of each bucket that cover every name of the folders and patterns once."""
        whole = [each for root in sorted(self.folders) for each in self._whole_ranges(root, selection)]
        aim = max(1, NUM_RANGES // max(1, len(whole)))
        return tuple(part for each in whole for part in each.split(each.keys.start, num_ranges=aim))

    def _whole_ranges(self, root: str, selection: Selection) -> Iterator[RemoteRange]:
        scheme, bucket, _ = split(root)
        if not can_list_ranges(scheme, bucket):
            yield from self._whole_folders(root, selection)
            return
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

    def _whole_folders(self, root: str, selection: Selection) -> Iterator[RemoteRange]:
        scheme, bucket, _ = split(root)
        inputs = sorted(self.folders[root], key=lambda each: each.folder)
        before = None
        for folder in (each.folder for each in inputs):
            if before is not None and folder.startswith(before):
                continue  # within the one before
            before, keys = folder, KeyRange(folder, prefix_end(folder))
            inside = tuple(dict.fromkeys(other for other in inputs if other.folder.startswith(folder)))
            yield RemoteRange(bucket, keys, "", "", selection, scheme, inside, part=FolderPart(folder))


def _exact(scheme: str, bucket: str, name: str) -> list[ListedImage]:
    if can_list_ranges(scheme, bucket):
        return list(list_keys(scheme, bucket, start=name, end=f"{name}\0", most=1))
    return list_object(scheme, bucket, name)


def _as_folder(name: str, *, exists: bool) -> BucketInput:
    # A name that ends in a slash is a folder, even with pattern characters.
    if has_magic(name) and not exists and not name.endswith("/"):
        prefix = literal_prefix(name)
        return BucketInput(prefix, name, prefix[: prefix.rfind("/") + 1])
    folder = name if not name or name.endswith("/") else f"{name}/"
    return BucketInput(folder, "", folder)
