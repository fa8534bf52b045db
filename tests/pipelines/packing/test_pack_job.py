import contextlib
import csv
import hashlib
import io
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from digitmill import cli
from digitmill.storage import ImageReader, OutputFolder, open_folder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_output import LocalFolder
from pipelines.archives import archive_kind, read_members
from pipelines.listing.frozen_listing import frozen_items
from pipelines.listing.input_listing import list_images
from pipelines.listing.work_item import WorkItem
from pipelines.output import run_progress
from pipelines.packing.pack_job import PackOptions, PackSummary, run
from pipelines.packing.shard_writer import PackedItem, Packer, read_packed, shards
from schemas import packed
from schemas.errors import StoppedError, UnreconciledError, UserError
from schemas.layout import statistics_name
from schemas.manifest import Part
from schemas.packed import PackManifest
from tests.lost_hold import LostHold, watch_changes

FLAGS = ("--runner=FnApiRunner",)


def packed_into(folder: pathlib.Path, output: pathlib.Path, **more: object) -> PackSummary:
    return run(PackOptions(inputs=(str(folder),), output=str(output), beam_flags=FLAGS, **more))


def records_in(output: pathlib.Path) -> dict[str, dict]:
    """By image, what TensorFlow reads from the shards."""
    spec = {name: tf.io.FixedLenFeature(*feature) for name, feature in packed.feature_spec().items()}
    shards = sorted(map(str, output.glob("packed-*.tfrecord")))
    records = [tf.io.parse_single_example(record, spec) for record in tf.data.TFRecordDataset(shards)]
    names = [record[packed.NAME].numpy().decode() for record in records]
    assert len(set(names)) == len(names)
    return {
        name: {key: value.numpy() for key, value in record.items()}
        for name, record in zip(names, records, strict=True)
    }


# ---- the run


def test_every_image_is_packed_once_byte_for_byte(digit_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    summary = packed_into(digit_folder, tmp_path / "out", labels="folder", shard_megabytes=0.04)
    records = records_in(tmp_path / "out")
    listed = list(list_images([str(digit_folder)]))
    assert set(records) == {image.uri for image in listed}
    for image in listed:
        path = pathlib.Path(image.uri.removeprefix("file://"))
        record = records[image.uri]
        assert record[packed.ENCODED] == path.read_bytes()
        assert record[packed.LABEL] == int(path.parent.name)
        assert record[packed.GENERATION] == image.generation
    manifest = PackManifest.from_json((tmp_path / "out" / "manifest.json").read_text())
    assert manifest == summary.manifest
    assert (manifest.listed, manifest.packed, manifest.failed, manifest.labeled) == (500, 500, 0, 500)


def test_the_manifest_names_every_file(digit_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    manifest = packed_into(digit_folder, tmp_path / "out", shard_megabytes=0.04).manifest
    on_disk = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert on_disk == {part.name for part in manifest.parts} | {"manifest.json"}
    assert sum(part.rows for part in manifest.parts) == 500
    for part in manifest.parts:
        data = (tmp_path / "out" / part.name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (part.bytes, part.sha256)
        if part.name.startswith("packed-"):
            # The last one is what was left.
            assert len(data) < 40_000


def test_files_are_not_looked_into_and_unreadable_ones_are_named(
    mixed_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (mixed_folder / "gone.png").symlink_to(mixed_folder / "nowhere")
    manifest = packed_into(mixed_folder, tmp_path / "out", labels="folder").manifest
    assert (manifest.listed, manifest.packed, manifest.failed) == (66, 65, 1)
    assert manifest.labeled == 60
    assert manifest.failures["MISSING"] == 1
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "failures.csv").read_text())))
    assert [(row["image"].rpartition("/")[2], row["code"]) for row in rows] == [("gone.png", "MISSING")]
    text = next(record for name, record in records_in(tmp_path / "out").items() if name.endswith("text.png"))
    assert text[packed.ENCODED].startswith(b"I am a text file")
    assert text[packed.LABEL] == -1


def test_junk_is_left_out_and_odd_folders_and_times_are_accounted_for(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1.png", "a/.DS_Store", "closed/2.png", "gone/3.png", "drafts/4.png", "late.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    os.utime(tmp_path / "in/late.png", ns=(10**19, 10**19))
    scandir = os.scandir

    def refuse(path: object) -> object:
        name = os.path.basename(path.rstrip(b"/")) if isinstance(path, bytes) else b""
        if name in (b"closed", b"gone"):
            raise (
                PermissionError(13, "Permission denied")
                if name == b"closed"
                else FileNotFoundError(2, "gone")
            )
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="cannot list the folder"):
        packed_into(tmp_path / "in", tmp_path / "strict", strict_listing=True)
    summary = packed_into(tmp_path / "in", tmp_path / "out", exclude=("drafts/**",))
    manifest = summary.manifest
    assert (manifest.listed, manifest.packed, manifest.failed) == (3, 2, 1)
    assert (manifest.ignored, manifest.vanished, manifest.failures["DENIED"]) == (2, 1, 1)
    assert "ignored   2" in summary.table()
    (row,) = csv.DictReader(io.StringIO((tmp_path / "out" / "failures.csv").read_text()))
    assert row["image"].endswith("/in/closed/")
    generations = [record[packed.GENERATION] for record in records_in(tmp_path / "out").values()]
    assert all(0 <= generation < 2**63 for generation in generations)


def test_packing_twice_gives_the_same_shards(digit_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for name in ("one", "two"):
        packed_into(digit_folder, tmp_path / name, shard_megabytes=0.04)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("packed-*")}
        for name in ("one", "two")
    )
    assert one == two


def labels_of_shards(output: pathlib.Path) -> list[set[int]]:
    spec = {packed.LABEL: tf.io.FixedLenFeature((), tf.int64)}
    return [
        {
            int(tf.io.parse_single_example(record, spec)[packed.LABEL])
            for record in tf.data.TFRecordDataset(str(shard))
        }
        for shard in output.glob("packed-*.tfrecord")
    ]


def test_shuffled_shards_hold_all_kinds_and_follow_from_the_seed(
    digit_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    settings: dict[str, object] = {"labels": "folder", "shard_megabytes": 0.02, "shuffle": True}
    packed_into(digit_folder, tmp_path / "sorted", **{**settings, "shuffle": False})
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        packed_into(digit_folder, tmp_path / name, **settings, seed=seed)
    names = {
        name: {path.name for path in (tmp_path / name).glob("packed-*")}
        for name in ("sorted", "one", "again", "two")
    }
    assert names["one"] == names["again"]
    assert not names["one"] & (names["two"] | names["sorted"])
    assert records_in(tmp_path / "one") == records_in(tmp_path / "sorted") == records_in(tmp_path / "two")
    assert min(map(len, labels_of_shards(tmp_path / "one"))) > max(
        map(len, labels_of_shards(tmp_path / "sorted"))
    )


def test_a_finished_and_an_occupied_output_are_refused(
    mixed_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    packed_into(mixed_folder, tmp_path / "out")
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    with pytest.raises(UserError, match="the output folder already holds a finished run"):
        packed_into(mixed_folder, tmp_path / "out")
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before
    with pytest.raises(UserError, match="the output folder is not empty"):
        packed_into(tmp_path / "out", mixed_folder)


def half_packed(folder: pathlib.Path, output: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Pack until it is told to stop in the third shard; return what it says."""
    real, seen = Packer.run, []

    def until_told(self: Packer, item: WorkItem) -> PackedItem:
        seen.append(item)
        if len(seen) == 3:
            signal.raise_signal(signal.SIGINT)
        return real(self, item)

    with monkeypatch.context() as patched:
        patched.setattr(Packer, "run", until_told)
        with pytest.raises(StoppedError) as stopped:
            packed_into(folder, output, shard_megabytes=0.04)
    return str(stopped.value)


@pytest.mark.slow
def test_told_to_stop_it_keeps_its_shards_and_resume_ends_the_same(
    digit_folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "o ut"
    said = half_packed(digit_folder, output, monkeypatch)
    again = said.rpartition("To resume: ")[2]
    shown = f"--output '{output}' --shard-megabytes 0.04 --resume --runner=FnApiRunner"
    assert again == f"digitmill pack --input {digit_folder} {shown}"
    begun = {path.name: path.stat().st_mtime_ns for path in output.glob("packed-*")}
    assert len(begun) == 2
    assert not (output / "manifest.json").exists()
    with pytest.raises(SystemExit) as ended:
        cli.main(shlex.split(again)[1:])
    assert ended.value.code == 0
    packed_into(digit_folder, tmp_path / "undisturbed", shard_megabytes=0.04)
    shards_of = lambda place: {path.name: path.read_bytes() for path in place.glob("packed-*")}  # noqa: E731
    assert shards_of(output) == shards_of(tmp_path / "undisturbed")
    assert begun.items() <= {path.name: path.stat().st_mtime_ns for path in output.glob("packed-*")}.items()


def test_gone_on_with_after_the_input_changed_no_shard_is_left_that_the_manifest_does_not_name(
    digit_folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    shutil.copytree(digit_folder, folder)
    half_packed(folder, output, monkeypatch)
    (output / ".packed-cut-off.tfrecord.tmp").write_bytes(b"half")
    for shard in list(output.glob("packed-*")):
        shutil.copy(shard, output / f"{shard.stem}-of-a-second-attempt.tfrecord")
    min(folder.rglob("*.png")).unlink()
    manifest = packed_into(folder, output, shard_megabytes=0.04, resume=True).manifest
    assert manifest.packed == 499
    on_disk = {path.name for path in output.iterdir() if path.is_file()}
    assert on_disk == {part.name for part in manifest.parts} | {"manifest.json"}


def test_a_pack_is_gone_on_with_as_it_was_begun_and_a_finished_one_stays(
    digit_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    done = packed_into(digit_folder, tmp_path / "out", resume=True)
    assert packed_into(digit_folder, tmp_path / "out", resume=True) == done
    with pytest.raises(UserError, match=r"cannot resume.*run\.yaml"):
        packed_into(digit_folder, tmp_path / "out", resume=True, labels="folder")
    (tmp_path / "out" / "manifest.json").unlink()
    with pytest.raises(UserError, match="Resume it by --resume"):
        packed_into(digit_folder, tmp_path / "out")


def test_nothing_is_written_when_something_is_wrong(
    digit_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    wrong = [
        PackOptions(inputs=(str(tmp_path / "none"),), output=str(tmp_path / "out")),
        PackOptions(inputs=(str(digit_folder),), output=str(tmp_path / "out"), labels="none.csv"),
        PackOptions(inputs=(str(digit_folder),), output=str(tmp_path / "out"), beam_flags=("--rumer=x",)),
    ]
    for options in wrong:
        with pytest.raises(UserError):
            run(options)
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_flag_is_refused(digit_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    flags = ("--zzz",)
    with pytest.raises(UserError, match=r"unknown flag.*--zzz"):
        run(PackOptions(inputs=(str(digit_folder),), output=str(tmp_path / "out"), beam_flags=flags))


def test_a_lost_record_is_not_passed_over(
    digit_folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Packer.run

    def loses_its_record(packer: Packer, item: WorkItem) -> PackedItem:
        done = real(packer, item)
        (tmp_path / "out" / statistics_name(item.digest)).unlink()
        return done

    monkeypatch.setattr(Packer, "run", loses_its_record)
    with pytest.raises(UnreconciledError, match=r"the record .* cannot be read"):
        packed_into(digit_folder, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_launcher_that_lost_its_output_changes_nothing_more(
    mixed_folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = watch_changes(monkeypatch)
    for most in range(3):

        @contextlib.contextmanager
        def hold(folder: LocalFolder, most: int = most) -> Iterator[LostHold]:
            folder.claim()
            folder.write_once(".cut-off.tmp", b"1")
            yield LostHold(changes, most)

        monkeypatch.setattr(LocalFolder, "hold", hold)
        changes.clear()
        with pytest.raises(StoppedError, match="no longer holds its output"):
            packed_into(mixed_folder, tmp_path / str(most))
        assert changes == ["failures.csv", ".cut-off.tmp"][:most]


def test_scoring_reads_what_was_packed(digit_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    packed_into(digit_folder, tmp_path / "out", labels="folder")
    (shard,) = (tmp_path / "out").glob("packed-*")
    with shard.open("rb") as file:
        kind = archive_kind(shard.name, file.read(100))
        file.seek(0)
        members = list(read_members(file, kind, name=shard.as_uri()))
    files = sorted(digit_folder.glob("*/*.png"))
    assert [member.content for member in members] == [path.read_bytes() for path in files]
    assert [member.label for member in members] == [int(path.parent.name) for path in files]
    assert [member.name for member in members] == [f"{shard.as_uri()}!{path.as_uri()}" for path in files]


# ---- work items


IMAGES = st.lists(st.integers(-1, 10_000), max_size=40).map(
    lambda sizes: [ListedImage(f"file:///{n:03d}", 0, size) for n, size in enumerate(sizes)]
)


@given(IMAGES, st.integers(1, 20_000))
def test_shards_hold_every_image_once_and_are_no_larger_than_asked(
    images: list[ListedImage], shard_bytes: int
) -> None:
    items = list(shards(images, shard_bytes=shard_bytes))
    assert [image for item in items for image in item.images] == images
    for item in items:
        size = sum(max(0, image.size) + len(image.uri) + 120 for image in item.images)
        assert size <= shard_bytes or len(item.images) == 1
    assert len({item.digest for item in items}) == len(items)


@given(IMAGES.filter(len), st.integers(1, 20))
def test_shards_are_about_equal(images: list[ListedImage], count: int) -> None:
    sizes = [max(0, image.size) + len(image.uri) + 120 for image in images]
    most = max(2 * max(sizes), sum(sizes) / count)
    packed = [
        sum(sizes[int(image.uri[-3:])] for image in item.images) for item in shards(images, shard_bytes=most)
    ]
    assert max(packed) - min(packed) <= 2 * max(sizes)


@pytest.fixture
def output(tmp_path: pathlib.Path) -> OutputFolder:
    folder = open_folder(str(tmp_path / "out"))
    folder.claim()
    return folder


@pytest.fixture
def packer(output: OutputFolder) -> Iterator[Packer]:
    with ImageReader() as reader:
        yield Packer(reader, output)


def item_of(folder: pathlib.Path) -> WorkItem:
    (item,) = shards(list(list_images([str(folder)])), shard_bytes=1e9)
    return item


def test_an_item_that_is_done_is_left_alone(
    packer: Packer, output: OutputFolder, mixed_folder: pathlib.Path
) -> None:
    item = item_of(mixed_folder)
    done = packer.run(item)
    for path in mixed_folder.rglob("*.png"):
        path.unlink()
    assert packer.run(item) == done
    assert read_packed(item, output) == done


def test_after_a_crash_the_record_describes_the_shard_beside_it(
    packer: Packer, output: OutputFolder, mixed_folder: pathlib.Path
) -> None:
    item = item_of(mixed_folder)
    packer.run(item)
    (pathlib.Path(output.at(statistics_name(item.digest)))).unlink()
    (mixed_folder / "text.png").unlink()
    done = packer.run(item)
    assert [failed.code for failed in done.failures] == ["MISSING"]
    shard = output.read(done.parts[0].name)
    assert hashlib.sha256(shard).hexdigest() == done.parts[0].sha256


def test_of_two_attempts_the_first_record_counts_and_its_shard_stays(
    output: OutputFolder, mixed_folder: pathlib.Path
) -> None:
    item, first = item_of(mixed_folder), list[PackedItem]()

    def read(images: Sequence[ListedImage]) -> Iterator[object]:
        """While this attempt reads, another one ends, and then an image vanishes."""
        with ImageReader() as reader:
            first.append(Packer(reader, output).run(item))
            (mixed_folder / "text.png").unlink()
            yield from reader.read(images)

    assert [Packer(types.SimpleNamespace(read=read), output).run(item)] == first
    assert read_packed(item, output) == first[0]
    (part,) = first[0].parts
    assert Part.of(part.name, output.read(part.name), rows=part.rows) == part


def test_an_item_without_a_readable_image_has_no_shard(
    packer: Packer, output: OutputFolder, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "gone").symlink_to("nowhere")
    done = packer.run(item_of(tmp_path / "in"))
    assert (done.packed, len(done.failures), done.parts) == (0, 1, ())


def test_many_chunks_make_one_shard(packer: Packer, output: OutputFolder, tmp_path: pathlib.Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(5):
        (tmp_path / "in" / str(number)).write_bytes(bytes([number]) * 600_000)
    packer.run(item_of(tmp_path / "in"))
    records = records_in(tmp_path / "out")
    assert [record[packed.ENCODED][0] for record in records.values()] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"digest": "d"}'])
def test_a_record_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Expecting|record"):
        PackedItem.from_json(text)


def test_a_record_of_another_item_is_noticed(
    packer: Packer, output: OutputFolder, mixed_folder: pathlib.Path
) -> None:
    item = item_of(mixed_folder)
    packer.run(item)
    with pytest.raises(UnreconciledError, match="do not add up"):
        read_packed(WorkItem(item.digest, item.images[1:]), output)


# ---- the command


def test_progress_is_in_the_words_of_this_job(
    digit_folder: pathlib.Path, output: OutputFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_progress.sys, "stderr", io.StringIO())
    watched = run_progress.Progress(output, frozen_items("x", item_of(digit_folder)), verb="packing")
    assert watched._line(1.0).startswith("packing: 0 of 500 images")
    with watched:
        pass


def test_the_command_packs_and_says_so(mixed_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    arguments = [
        "pack",
        "--input",
        str(mixed_folder),
        "--labels",
        "folder",
        "--output",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(cli.digitmill, [*arguments, *FLAGS])
    assert result.exception is None
    assert "images    65" in result.output
    assert "packed    65 (60 with a label)" in result.output
    assert "failed    0" in result.output


def test_help_is_light_and_the_module_is_an_entry_point() -> None:
    program = (
        "import sys, runpy\nsys.argv = ['pack', '--help']\ntry:\n"
        "    runpy.run_module('pipelines.pack', run_name='__main__')\n"
        "finally:\n    print('LOADED', *sorted({'apache_beam', 'numpy', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: digitmill pack ")
    assert done.stdout.splitlines()[-1] == "LOADED"


def test_an_image_of_noise_takes_a_shard_of_its_own(tmp_path: pathlib.Path, png_of: Callable) -> None:
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").write_bytes(png_of(noise))
    assert len(packed_into(tmp_path / "in", tmp_path / "out", shard_megabytes=0.05).manifest.parts) == 5
