"""A stand-in for containers that list in an order of their own, and not from any name on."""

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from digitmill.storage import places
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores.bucket import Level


def by_utf16(name: str) -> bytes:
    """Azure's order."""
    return name.encode("utf-16-be")


def by_folder(name: str) -> list[bytes]:
    """The order of hierarchical namespaces: what a folder holds comes where its name does."""
    return [segment.encode("utf-16-be") for segment in name.split("/")]


def in_no_order(name: str) -> float:
    """The order of S3's directory buckets."""
    return random.Random(name).random()


ORDERS: Final[list[Callable]] = [by_utf16, by_folder, in_no_order]


class Container:
    """Names of objects, listed as obstore lists them.

    Attributes:
        read: names that were listed below each prefix; `None` counts requests for a single level.
    """

    def __init__(self, names: set[str], order: Callable = by_utf16, uri: str = "az://c") -> None:
        self.names = names
        self.uri = uri
        self.order = order
        self.read: dict[str | None, int] = {None: 0}

    def list(self, prefix: str, *, most: int | None = None, after: str = "") -> Iterator[ListedImage]:
        assert not after, "obstore may leave the beginning to the store, which may ignore it"
        below = (name for name in self.names if name.startswith(prefix) and name != prefix)
        for name in itertools.islice(sorted(below, key=self.order), most):
            self.read[prefix] = self.read.get(prefix, 0) + 1
            yield self._object(name)

    def level(self, prefix: str) -> Level:
        assert not prefix or prefix.endswith("/")
        self.read[None] = (self.read[None] or 0) + 1
        rests = [name[len(prefix) :] for name in self.names if name.startswith(prefix) and name != prefix]
        folders = {f"{prefix}{rest.partition('/')[0]}/" for rest in rests if "/" in rest}
        objects = [f"{prefix}{rest}" for rest in rests if "/" not in rest]
        return Level(sorted(folders, key=self.order), [*map(self._object, sorted(objects, key=self.order))])

    def _object(self, name: str) -> ListedImage:
        return ListedImage(f"{self.uri}/{name}", 1, 1, checksum="x")


class SortedBucket(Container):
    """Names of objects, listed in their order and from any name on, as S3 does."""

    def list(self, prefix: str, *, most: int | None = None, after: str = "") -> Iterator[ListedImage]:
        below = (name for name in sorted(self.names) if name.startswith(prefix) and name != prefix)
        names = (name for name in below if name > after)
        yield from map(self._object, itertools.islice(names, most))


def serve(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a container stand in for what a test lists."""
    monkeypatch.setattr(places, "open_bucket", lambda *_: container)
    monkeypatch.setattr(
        places.ImageReader,
        "find",
        lambda _, uris: (
            container._object(uri.removeprefix(f"{container.uri}/"))._replace(
                size=1 if uri.removeprefix(f"{container.uri}/") in container.names else -1
            )
            for uri in uris
        ),
    )
