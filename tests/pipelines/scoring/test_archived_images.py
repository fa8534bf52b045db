import csv
import dataclasses
import io
import pathlib
import re
import tarfile
import zipfile
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.storage import ImageReader, open_folder
from pipelines.compact import compact_job
from pipelines.compact.compact_options import CompactOptions
from pipelines.listing.input_listing import list_images
from pipelines.listing.work_item import pack_items, separate_archives
from pipelines.output.verification import verify
from pipelines.packing import pack_job
from pipelines.report.rebuilding import rebuild_report
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from pipelines.scoring import scorer
from pipelines.scoring.scorer import read_archive
from pipelines.statistics import failure_rows
from schemas.errors import UnreconciledError
from schemas.prediction import NO_LABEL
from tests.gcs_emulator import Bucket

FLAGS = ("--runner=FnApiRunner",)


@pytest.fixture
def members(digits: np.ndarray, labels: np.ndarray, png_of: Callable) -> dict[str, bytes]:
    named = {f"{labels[n]}/{n}.png": png_of(digits[n]) for n in range(0, 500, 25)}
    return named | {"3/text.png": b"text", "empty.png": b""}


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(members: dict[str, bytes], mode: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


WRITERS = {
    "a.zip": zipped,
    "a.tar": lambda members: tarred(members, "w"),
    "a.tar.gz": lambda members: tarred(members, "w:gz"),
    "a.TGZ": lambda members: tarred(members, "w:gz"),
}


def score(inputs: tuple[str, ...], bundle_path: pathlib.Path, output: pathlib.Path, **more: object) -> object:
    return run(ScoreOptions(inputs, bundle_path, str(output), beam_flags=FLAGS, **more)).manifest


def rows_of(output: pathlib.Path, folder: str) -> list[dict]:
    pattern = "failures.csv" if folder == "reports" else "*.csv"
    texts = [path.read_text() for path in (output / folder).glob(pattern)]
    return [row for text in texts for row in csv.DictReader(io.StringIO(text, newline=""))]


@pytest.mark.parametrize("name", WRITERS)
def test_each_member_is_an_image_with_a_name(
    tmp_path: pathlib.Path, bundle_path: pathlib.Path, members: dict[str, bytes], name: str
) -> None:
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / name
    archive.write_bytes(WRITERS[name](members))
    manifest = score((str(tmp_path / "in"),), bundle_path, tmp_path / "out", labels="folder")
    assert dataclasses.astuple(manifest.counts) == (22, 20, 2, 0)
    assert manifest.labeled == 20
    assert manifest.accuracy.value > 0.7
    rows = rows_of(tmp_path / "out", "predictions")
    assert {row["image"] for row in rows} == {
        f"{archive.as_uri()}!{member}" for member in members if member not in ("3/text.png", "empty.png")
    }
    assert all(row["label"] == row["image"].rpartition("!")[2].partition("/")[0] for row in rows)
    assert manifest.failures["EMPTY"] == manifest.failures["UNSUPPORTED"] == 1


@pytest.mark.parametrize("name", WRITERS)
def test_an_archive_in_a_bucket_is_one_request(
    bucket: Bucket, proxy: object, bundle_path: pathlib.Path, tmp_path: pathlib.Path, members: dict, name: str
) -> None:
    bucket.put(f"in/{name}", WRITERS[name](members))
    bucket.put("in/3/loose.png", next(iter(members.values())))
    manifest = score((f"{bucket.uri}/in",), bundle_path, tmp_path / "out")
    assert dataclasses.astuple(manifest.counts) == (23, 21, 2, 0)
    assert proxy.reads(f"in/{name}") == 1


def test_a_truncated_object_is_fetched_again(
    bucket: Bucket, proxy: object, bundle_path: pathlib.Path, tmp_path: pathlib.Path, members: dict
) -> None:
    bucket.put("in/a.zip", zipped(members))
    proxy.faults["in/a.zip"].extend(["truncated", 503])
    manifest = score((f"{bucket.uri}/in",), bundle_path, tmp_path / "out")
    assert manifest.counts.scored == 20
    assert proxy.reads("in/a.zip") == 3


def test_a_damaged_archive_loses_the_rest_and_gives_one_failure(
    tmp_path: pathlib.Path,
    bundle_path: pathlib.Path,
    members: dict[str, bytes],
    png_of: Callable,
    digits: np.ndarray,
) -> None:
    (tmp_path / "in").mkdir()
    data = tarred(members, "w")
    (tmp_path / "in/cut.tar").write_bytes(data[: len(data) // 2])
    (tmp_path / "in/fine.png").write_bytes(png_of(digits[0]))
    (tmp_path / "in/empty.zip").write_bytes(b"")
    manifest = score((str(tmp_path / "in"),), bundle_path, tmp_path / "out")
    failed = {row["image"]: row["code"] for row in rows_of(tmp_path / "out", "reports")}
    assert failed[(tmp_path / "in/cut.tar").as_uri()] == "CORRUPT"
    assert failed[(tmp_path / "in/empty.zip").as_uri()] == "EMPTY"
    assert 2 < manifest.counts.scored < 20


def test_an_image_with_an_archives_name_is_an_image(
    tmp_path: pathlib.Path, bundle_path: pathlib.Path, png_of: Callable, digits: np.ndarray
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/odd.zip").write_bytes(png_of(digits[0]))
    manifest = score((str(tmp_path / "in"),), bundle_path, tmp_path / "out")
    assert dataclasses.astuple(manifest.counts) == (1, 1, 0, 0)
    (row,) = rows_of(tmp_path / "out", "predictions")
    assert row["image"] == (tmp_path / "in/odd.zip").as_uri()


def test_a_deleted_archive_is_missing(tmp_path: pathlib.Path, members: dict[str, bytes]) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(members))
    (archive,) = list_images([str(tmp_path)])
    (tmp_path / "a.zip").unlink()
    with ImageReader() as reader:
        ((image, error),) = read_archive(archive, reader, folder_labels=False)
    assert (image, str(error.code)) == (archive, "MISSING")


@pytest.mark.slow
def test_packed_images_can_be_scored(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    options = pack_job.PackOptions(
        (str(digit_folder),), str(tmp_path / "packed"), labels="folder", beam_flags=FLAGS
    )
    pack_job.run(dataclasses.replace(options, shard_megabytes=0.05))
    shards = tmp_path / "packed" / "packed-*.tfrecord"
    packed = score((str(shards),), bundle_path, tmp_path / "out")
    loose = score((str(digit_folder),), bundle_path, tmp_path / "loose", labels="folder")
    assert packed.counts == loose.counts
    assert (packed.labeled, packed.right) == (loose.labeled, loose.right)
    answers = {
        row["image"].partition("!")[2]: (row["digit"], row["confidence"], row["label"])
        for row in rows_of(tmp_path / "out", "predictions")
    }
    for row in rows_of(tmp_path / "loose", "predictions"):
        assert answers[row["image"]] == (row["digit"], row["confidence"], row["label"])


def test_a_large_archive_is_written_in_pieces(
    tmp_path: pathlib.Path,
    bundle_path: pathlib.Path,
    digits: np.ndarray,
    png_of: Callable,
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.zip").write_bytes(zipped({f"{n}.png": png_of(digits[n]) for n in range(100)}))
    manifest = score((str(tmp_path / "in"),), bundle_path, tmp_path / "out", rows_per_part=30)
    assert dataclasses.astuple(manifest.counts) == (100, 100, 0, 0)
    tables = [
        part.name for part in manifest.parts if part.name.endswith(".csv") and "predictions/" in part.name
    ]
    pattern = re.compile(r"predictions/part-00000(_0000[1-9])?-[0-9a-f]{16}\.csv")
    found = [pattern.fullmatch(name) for name in tables]
    assert sorted(match[1] or "" for match in found if match) == ["", "_00001", "_00002", "_00003"]
    assert sorted(part.rows for part in manifest.parts if part.name.endswith("tfrecord.gz")) == [
        10,
        30,
        30,
        30,
    ]
    assert len(rows_of(tmp_path / "out", "predictions")) == 100


def test_archives_have_work_items_of_their_own(tmp_path: pathlib.Path) -> None:
    for name in ("a.png", "b.zip", "c.png", "d.tar.gz", "e.png"):
        (tmp_path / name).touch()
    (whole,) = pack_items(list_images([str(tmp_path)]), "run")
    items = list(separate_archives([whole]))
    assert [[image.uri.rpartition("/")[2] for image in item.images] for item in items] == [
        ["a.png", "c.png", "e.png"],
        ["b.zip"],
        ["d.tar.gz"],
    ]
    assert len({item.digest for item in [whole, *items]}) == 4
    assert [item.may_be_archive for item in items] == [False, True, True]
    assert all(image.label == NO_LABEL for item in items for image in item.images)


@pytest.fixture
def failing(digits: np.ndarray, png_of: Callable, tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with an archive of many members that fail, and some that do not."""
    members = {f"{n:03d}.png": b"" if n % 10 else png_of(digits[n]) for n in range(230)}
    (tmp_path / "in").mkdir()
    (tmp_path / "in/many.zip").write_bytes(zipped(members))
    (tmp_path / "in/plain.png").write_bytes(b"text")
    return tmp_path / "in"


def test_failures_that_a_record_does_not_hold_are_accounted_for(
    failing: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"inputs": (str(failing),), "model": bundle_path, "beam_flags": FLAGS}
    asked |= {"max_failure_rate": 1.0, "rows_per_part": 50}
    usual = run(ScoreOptions(**asked, output=str(tmp_path / "usual"))).manifest
    for module in (failure_rows, scorer):
        monkeypatch.setattr(module, "MOST_IN_MEMORY", 60)
    split = run(ScoreOptions(**asked, output=str(tmp_path / "split"))).manifest
    assert split.failures == usual.failures
    assert split.counts == usual.counts
    assert len(list((tmp_path / "split/statistics").glob("failures-*.json.gz"))) == 4
    for report in ("reports/failures.csv", "reports/summary.csv"):
        assert (tmp_path / "split" / report).read_bytes() == (tmp_path / "usual" / report).read_bytes()
    assert verify(open_folder(str(tmp_path / "split"))).findings == ()
    (tmp_path / "split/report.html").unlink()
    rebuild_report(str(tmp_path / "split"), to=None, price_per_hour=None)
    assert verify(open_folder(str(tmp_path / "split"))).findings == ()
    compact_job.run(CompactOptions(runs=(str(tmp_path / "split"),), output=str(tmp_path / "state")))
    merged = (tmp_path / "state/reports/failures.csv").read_bytes()
    assert merged == (tmp_path / "usual/reports/failures.csv").read_bytes()


def test_a_missing_file_of_failures_is_found(
    failing: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (failure_rows, scorer):
        monkeypatch.setattr(module, "MOST_IN_MEMORY", 60)
    asked = {"inputs": (str(failing),), "model": bundle_path, "beam_flags": FLAGS}
    asked |= {"max_failure_rate": 1.0, "rows_per_part": 50, "output": str(tmp_path / "out")}
    run(ScoreOptions(**asked))
    lost = next((tmp_path / "out/statistics").glob("failures-*.json.gz"))
    lost.unlink()
    assert verify(open_folder(str(tmp_path / "out"))).findings == (f"statistics/{lost.name}: missing",)
    (tmp_path / "out/manifest.json").unlink()
    with pytest.raises(UnreconciledError, match=f"failures of a work item cannot be read: .*{lost.name}"):
        run(ScoreOptions(**asked, resume=True))
    lost.write_bytes(b"damaged")
    with pytest.raises(UnreconciledError, match="failures of a work item cannot be read: damaged failures"):
        run(ScoreOptions(**asked, resume=True))
