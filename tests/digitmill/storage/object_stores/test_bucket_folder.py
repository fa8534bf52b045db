import datetime
import itertools
from collections.abc import Iterator

import pytest

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores import bucket_folder
from digitmill.storage.object_stores.bucket_folder import BucketFolder
from schemas.errors import UserError


class FullBucket:
    """A bucket in which thousands of objects are listed before the manifest."""

    def list(self, prefix: str, *, most: int | None = None) -> Iterator[ListedImage]:
        names = (*(f"a/{number}" for number in range(5000)), "manifest.json")
        yield from itertools.islice((ListedImage(f"s3://b/{prefix}{name}", 1, 1) for name in names), most)

    def written(self, name: str) -> datetime.datetime | None:
        return datetime.datetime.now(datetime.UTC) if name == "run/manifest.json" else None


def test_a_finished_run_is_one_however_much_is_listed_before_its_manifest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bucket_folder, "open_bucket", lambda *_: FullBucket())
    with pytest.raises(UserError, match="already holds a finished run"):
        BucketFolder("s3", "b", "run").check("manifest.json")
    with pytest.raises(UserError, match="is not empty"):
        BucketFolder("s3", "b", "run").check("other.json")
