import csv
import dataclasses
import gzip
import io
import pathlib
import shlex
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from digitmill.cli import main
from digitmill.storage import OutputFolder
from digitmill.storage.local_output import LocalFolder
from digitmill.storage.names import uri_of
from digitmill.storage.object_stores import retries
from pipelines.listing import bucket_ranges, frozen_listing, input_listing, key_ranges
from pipelines.listing.frozen_listing import ListingIndex
from pipelines.output.verification import verify
from pipelines.score import run_listing, transforms
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from schemas import prediction
from schemas.errors import StoppedError, UserError
from schemas.manifest import Manifest
from tests.beam_engines import interrupt_scoring
from tests.gcs_emulator import Bucket, Proxy

HOSTILE = ["a b.png", "x[1].png", "s*.png", "q?.png", "n\nl.png", "=1+1.png", "c,d.png", '"q".png', "%2F.png",
           "é.png", "e\u0301.png", "a//b.png", "./d.png", "@SUM(A1)", "-1", "+2", "<b>.png"]  # fmt: skip


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(retries, "LONGEST_WAIT_SECONDS", 0.01)


@pytest.fixture
def filled(bucket: Bucket, digits: np.ndarray, labels: np.ndarray, png_of: Callable) -> Bucket:
    for number in range(0, 500, 5):
        bucket.put(f"in/{labels[number]}/{number:03d}.png", png_of(digits[number]))
    return bucket


def options(bucket: Bucket, bundle_path: pathlib.Path, output: object, **more: object) -> ScoreOptions:
    return ScoreOptions(
        (f"{bucket.uri}/in",), bundle_path, str(output), beam_flags=("--runner=FnApiRunner",), **more
    )


def rows_of(bucket: Bucket, folder: str) -> list[dict]:
    parts = [
        name for name in bucket.names() if name.startswith(f"{folder}/predictions/") and name.endswith(".csv")
    ]
    texts = (bucket.read(name).decode() for name in parts)
    return [row for text in texts for row in csv.DictReader(io.StringIO(text, newline=""))]


def test_from_a_bucket_to_a_bucket(filled: Bucket, bundle_path: pathlib.Path, proxy: Proxy) -> None:
    summary = run(options(filled, bundle_path, f"{filled.uri}/out", labels="folder"))
    manifest = Manifest.from_json(filled.read("out/manifest.json").decode())
    assert manifest == summary.manifest
    assert dataclasses.astuple(manifest.counts) == (100, 100, 0, 0)
    assert manifest.accuracy.value > 0.8
    assert len(rows_of(filled, "out")) == 100
    for part in manifest.parts:
        assert len(filled.read(f"out/{part.name}")) == part.bytes
    assert sum(proxy.reads(name) for name in filled.names() if name.startswith("in/")) <= 1.01 * 100


def test_a_bucket_and_a_folder_give_the_same_answers(
    filled: Bucket, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for name in filled.names():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(filled.read(name))
    run(options(filled, bundle_path, f"{filled.uri}/out"))
    local = dataclasses.replace(
        options(filled, bundle_path, tmp_path / "out"), inputs=(str(tmp_path / "in"),)
    )
    run(local)
    (part,) = (tmp_path / "out/predictions").glob("*.csv")
    with part.open(newline="") as file:
        expected = {
            row["image"].removeprefix(uri_of(bytes(tmp_path)) + "/"): row for row in csv.DictReader(file)
        }
    for row in rows_of(filled, "out"):
        other = expected[row["image"].removeprefix(f"{filled.uri}/")]
        assert [row[name] for name in ("digit", "confidence", "second_digit")] == [
            other[name] for name in ("digit", "confidence", "second_digit")
        ]


def test_hostile_names_are_escaped_in_page_and_file(
    bucket: Bucket, bundle_path: pathlib.Path, digits: np.ndarray, png_of: Callable, tmp_path: pathlib.Path
) -> None:
    for number, name in enumerate(HOSTILE):
        bucket.put(f"in/{name}", png_of(digits[number]))
    summary = run(options(bucket, bundle_path, tmp_path / "out"))
    assert dataclasses.astuple(summary.manifest.counts) == (len(HOSTILE), len(HOSTILE), 0, 0)
    expected = sorted(f"{bucket.uri}/in/{name}" for name in HOSTILE)
    (rows,) = (tmp_path / "out/predictions").glob("*.csv")
    with rows.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert sorted(row["image"] for row in found) == expected
    assert not any(cell.startswith(tuple("=+-@\t\r")) for row in found for cell in row.values())
    (records,) = (tmp_path / "out/predictions").glob("*.gz")
    spec = {name: tf.io.FixedLenFeature(*feature) for name, feature in prediction.feature_spec().items()}
    (batch,) = tf.data.TFRecordDataset(str(records), compression_type="GZIP").batch(1000)
    parsed = tf.io.parse_example(batch, spec)["image"].numpy()
    assert sorted(image.decode() for image in parsed) == expected
    assert "<b>.png" not in (tmp_path / "out/report.html").read_text()


def test_each_fault_gives_its_row_and_harms_no_other(
    filled: Bucket,
    bundle_path: pathlib.Path,
    proxy: Proxy,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    victims = [name for name in filled.names() if name.startswith("in/")][:9]
    denied, missing, busy, slow, reset, cut, gone, changed, passing = victims
    proxy.lasting |= {denied: 403, missing: 404, busy: 503, slow: 429, reset: "reset", cut: "truncated"}
    proxy.faults[passing].extend([408, "reset", 503, "truncated"])
    real = run_listing.read_index

    def changes_after(output: OutputFolder) -> ListingIndex | None:
        frozen = real(output)
        if frozen is not None:
            filled.delete(gone)
            filled.put(changed, b"another")
        return frozen

    monkeypatch.setattr(run_listing, "read_index", changes_after)
    summary = run(options(filled, bundle_path, tmp_path / "out", retry_deadline=5.0))
    with (tmp_path / "out/reports/failures.csv").open(newline="") as file:
        failed = {row["image"].removeprefix(f"{filled.uri}/"): row["code"] for row in csv.DictReader(file)}
    # A 404 for an object that is there: another generation than the one listed was asked for.
    assert failed.pop(missing) in ("MISSING", "CHANGED")
    assert failed == {
        denied: "DENIED",
        busy: "UNREADABLE",
        slow: "UNREADABLE",
        reset: "UNREADABLE",
        cut: "UNREADABLE",
        gone: "MISSING",
        changed: "CHANGED",
    }
    assert dataclasses.astuple(summary.manifest.counts) == (100, 92, 8, 0)


@pytest.mark.parametrize("where", ["bucket", "disk"])
def test_a_large_folder_is_listed_by_the_workers(
    filled: Bucket,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    monkeypatch.setattr(
        run_listing,
        "list_with_ranges",
        lambda given, survey: input_listing.list_with_ranges(given, limit=10, survey=survey),
    )
    output = f"{filled.uri}/out" if where == "bucket" else tmp_path / "out"
    summary = run(options(filled, bundle_path, output, labels="folder"))
    assert dataclasses.astuple(summary.manifest.counts) == (100, 100, 0, 0)
    assert summary.manifest.labeled == 100
    assert sum(part.rows for part in summary.manifest.parts if part.name.endswith(".gz")) == 100


@pytest.mark.parametrize("runner", ["FnApiRunner", "BundleBasedDirectRunner"])
def test_a_worker_hands_on_what_it_does_not_list(
    filled: Bucket,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    runner: str,
) -> None:
    monkeypatch.setattr(
        run_listing,
        "list_with_ranges",
        lambda given, survey: input_listing.list_with_ranges(given, limit=3, survey=survey),
    )
    monkeypatch.setattr(bucket_ranges, "NUM_RANGES", 1)
    monkeypatch.setattr(frozen_listing, "SPLIT_INTO", 2)
    monkeypatch.setattr(frozen_listing, "MIN_SPLIT", 1)
    for module in (bucket_ranges, key_ranges):
        monkeypatch.setattr(module, "PAGE", 3)
    monkeypatch.setattr(transforms, "HAND_ON_AFTER", 4)
    chosen = dataclasses.replace(
        options(filled, bundle_path, tmp_path / "out"), rows_per_part=4, beam_flags=(f"--runner={runner}",)
    )
    summary = run(chosen)
    assert dataclasses.astuple(summary.manifest.counts) == (100, 100, 0, 0)
    listed = (tmp_path / "out/listing").glob("range-*.json.gz")
    handed_on = [file for file in listed if gzip.decompress(file.read_bytes()).startswith(b'{"ranges"')]
    assert len(handed_on) > 3
    assert verify(LocalFolder(tmp_path / "out")).findings == ()
    # What was listed stays, whatever becomes of the bucket; a resumed run ends with the same files.
    manifest = tmp_path / "out/manifest.json"
    parts = Manifest.from_json(manifest.read_text()).parts
    manifest.unlink()
    filled.put("in/0/000a.png", b"new")
    next((tmp_path / "out/statistics").iterdir()).unlink()
    again = run(dataclasses.replace(chosen, resume=True)).manifest.parts
    proof = ("listing/", "statistics/", "predictions/")
    assert [part for part in again if part.name.startswith(proof)] == [
        part for part in parts if part.name.startswith(proof)
    ]


def test_an_input_list_names_objects_and_files(
    filled: Bucket, bundle_path: pathlib.Path, tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable
) -> None:
    (tmp_path / "here.png").write_bytes(png_of(digits[0]))
    named = [f"{filled.uri}/{name}" for name in filled.names()[:3]]
    (tmp_path / "list.txt").write_text("\n".join([*named, "here.png", "gone.png", f"{filled.uri}/gone", ""]))
    chosen = ScoreOptions(
        (),
        bundle_path,
        str(tmp_path / "out"),
        input_list=tmp_path / "list.txt",
        beam_flags=("--runner=FnApiRunner",),
    )
    counts = run(chosen).manifest
    assert dataclasses.astuple(counts.counts) == (6, 4, 2, 0)
    assert counts.failures["MISSING"] == 2


def test_an_input_list_and_labels_in_a_bucket_count_from_their_folder(
    filled: Bucket, bundle_path: pathlib.Path
) -> None:
    names = [name.removeprefix("in/") for name in sorted(filled.names())]
    filled.put("in/list.txt", "\n".join(names[:3]).encode())
    filled.put("in/truth.csv", "\n".join(["path,label", *(f"{name},{name[0]}" for name in names)]).encode())
    lists: dict = {"input_list": f"{filled.uri}/in/list.txt", "labels": f"{filled.uri}/in/truth.csv"}
    given = dataclasses.replace(options(filled, bundle_path, f"{filled.uri}/out", **lists), inputs=())
    manifest = run(given).manifest
    assert dataclasses.astuple(manifest.counts) == (3, 3, 0, 0)
    assert manifest.labeled == 3
    assert f"--labels {lists['labels']}" in given.command(resume=True)
    assert run(dataclasses.replace(given, resume=True)).manifest == manifest


@pytest.mark.parametrize("name", ["labels", "input_list"])
def test_a_list_in_a_bucket_that_is_missing_is_refused(
    name: str, filled: Bucket, bundle_path: pathlib.Path
) -> None:
    place = f"{filled.uri}/nowhere.csv"
    with pytest.raises(UserError, match=f"cannot read the file: '{place}'"):
        run(options(filled, bundle_path, f"{filled.uri}/out", **{name: place}))
    assert not any(each.startswith("out/") for each in filled.names())


def test_the_resume_command_of_a_model_in_a_bucket_resumes(
    filled: Bucket, bundle_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in bundle_path.rglob("*"):
        if file.is_file():
            filled.put(f"bundle/{file.relative_to(bundle_path).as_posix()}", file.read_bytes())
    model = f"{filled.uri}/bundle"
    with monkeypatch.context() as patched:
        interrupt_scoring(patched)
        with pytest.raises(StoppedError) as stopped:
            run(options(filled, model, f"{filled.uri}/out", challenger=model, workers=1))
    command = str(stopped.value).partition("To resume: ")[2]
    assert f"--model {model}" in command
    assert f"--challenger {model}" in command
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command)[1:])
    assert ended.value.code == 0
    assert Manifest.from_json(filled.read("out/manifest.json").decode()).counts.scored == 100


def test_gzip_records_hold_the_bytes_that_the_manifest_names(
    filled: Bucket, bundle_path: pathlib.Path
) -> None:
    run(options(filled, bundle_path, f"{filled.uri}/out"))
    (name,) = [name for name in filled.names() if name.endswith(".tfrecord.gz")]
    assert gzip.decompress(filled.read(name))
