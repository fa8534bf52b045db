import pathlib

import pytest
from google.api_core import exceptions as api

from digitmill.storage import outage
from digitmill.storage.object_stores import google
from schemas.errors import StorageError, UserError
from schemas.failure import Failure, FailureCode


def failures(count: int, code: FailureCode, place: str = "gs://bucket/a") -> list[Failure]:
    return [Failure(f"{place}/{number}.png", 1, code, "x") for number in range(count)]


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list:
    """What buckets were asked, and what listing them raises: set its `error`."""

    class Asked(list):
        error = None

    asked = Asked()

    def listed(bucket: str, *, prefix: str, most: int) -> object:
        asked.append((bucket, prefix, most))
        if asked.error:
            raise UserError("a bucket can be listed", value=bucket, hint="mend it") from asked.error
        return iter([])

    monkeypatch.setattr(google, "list_objects", listed)
    return asked


def test_images_that_are_at_fault_themselves_ask_nothing(listings: list) -> None:
    outage.refuse_outage(failures(9, FailureCode.CORRUPT), listed=9)
    outage.refuse_outage(failures(9, FailureCode.MISSING, "file:///a"), listed=9)
    assert listings == []


@pytest.mark.parametrize("code", [FailureCode.MISSING, FailureCode.DENIED, FailureCode.UNREADABLE])
def test_a_bucket_that_answers_has_lost_its_images_one_by_one(listings: list, code: FailureCode) -> None:
    outage.refuse_outage(failures(9, code), listed=9)
    assert listings == [("bucket", "a/", 1)]


@pytest.mark.parametrize("count", [1, 9])
def test_a_bucket_that_does_not_answer_is_an_outage(listings: list, count: int) -> None:
    listings.error = api.ServiceUnavailable("gone")
    with pytest.raises(StorageError, match=r"a bucket of the input stays within reach: 'bucket'. Mend it"):
        outage.refuse_outage(failures(count, FailureCode.UNREADABLE), listed=9)


def test_a_bucket_that_may_not_be_listed_is_one_only_where_most_images_failed(listings: list) -> None:
    listings.error = api.Forbidden("no")
    outage.refuse_outage(failures(4, FailureCode.DENIED), listed=9)
    with pytest.raises(StorageError):
        outage.refuse_outage(failures(5, FailureCode.DENIED), listed=9)


@pytest.mark.parametrize("count", [5, 40])
def test_a_folder_that_is_gone_with_all_its_files_is_an_outage(
    listings: list, tmp_path: pathlib.Path, count: int
) -> None:
    gone = failures(count, FailureCode.MISSING, (tmp_path / "in").as_uri())
    if count < 16:
        outage.refuse_outage(gone, listed=count)
        return
    with pytest.raises(StorageError, match=r"a folder of the input stays within reach.*/in'. Bring it back"):
        outage.refuse_outage(gone, listed=count)
    outage.refuse_outage(gone, listed=3 * count)
    (tmp_path / "in").mkdir()
    outage.refuse_outage(gone, listed=count)
    assert listings == []
