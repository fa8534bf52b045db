import pathlib
from collections.abc import Iterator

import pytest

from digitmill.storage import ListedImage, outage
from digitmill.storage.object_stores.bucket import StoreError
from schemas.errors import StorageError
from schemas.failure import Failure, FailureCode


def failures(count: int, code: FailureCode, place: str = "gs://bucket/a") -> list[Failure]:
    return [Failure(f"{place}/{number}.png", 1, code, "x") for number in range(count)]


class Listings(list):
    """What buckets were asked, and what listing them raises."""

    error: StoreError | None = None


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> Listings:
    asked = Listings()

    class Bucket:
        def __init__(self, scheme: str, bucket: str) -> None:
            self.place = f"{scheme}://{bucket}"

        def list(self, prefix: str, *, most: int) -> Iterator[ListedImage]:
            asked.append((self.place, prefix, most))
            if asked.error:
                raise asked.error
            return iter([])

    monkeypatch.setattr(outage, "open_bucket", Bucket)
    return asked


def test_images_that_are_at_fault_themselves_ask_nothing(listings: Listings) -> None:
    outage.refuse_outage(failures(9, FailureCode.CORRUPT), listed=9)
    outage.refuse_outage(failures(9, FailureCode.MISSING, "file:///a"), listed=9)
    assert listings == []


@pytest.mark.parametrize("code", [FailureCode.MISSING, FailureCode.DENIED, FailureCode.UNREADABLE])
def test_a_bucket_that_answers_has_lost_its_images_one_by_one(listings: Listings, code: FailureCode) -> None:
    outage.refuse_outage(failures(9, code), listed=9)
    assert listings == [("gs://bucket", "a/", 1)]


@pytest.mark.parametrize("count", [1, 9])
def test_a_bucket_that_does_not_answer_is_an_outage(listings: Listings, count: int) -> None:
    listings.error = StoreError("gone", hint="mend it")
    with pytest.raises(StorageError, match=r"cannot reach a bucket of the input: 'gs://bucket/a/'. Mend it"):
        outage.refuse_outage(failures(count, FailureCode.UNREADABLE), listed=9)


def test_a_bucket_that_may_not_be_listed_is_one_only_where_most_images_failed(listings: Listings) -> None:
    listings.error = StoreError("no", hint="mend it", denied=True)
    outage.refuse_outage(failures(4, FailureCode.DENIED), listed=9)
    with pytest.raises(StorageError):
        outage.refuse_outage(failures(5, FailureCode.DENIED), listed=9)


@pytest.mark.parametrize("count", [5, 40])
def test_a_folder_that_is_gone_with_all_its_files_is_an_outage(
    listings: Listings, tmp_path: pathlib.Path, count: int
) -> None:
    gone = failures(count, FailureCode.MISSING, (tmp_path / "in").as_uri())
    if count < 16:
        outage.refuse_outage(gone, listed=count)
        return
    with pytest.raises(StorageError, match=r"cannot reach a folder of the input.*/in'. Bring it back"):
        outage.refuse_outage(gone, listed=count)
    outage.refuse_outage(gone, listed=3 * count)
    (tmp_path / "in").mkdir()
    outage.refuse_outage(gone, listed=count)
    assert listings == []
