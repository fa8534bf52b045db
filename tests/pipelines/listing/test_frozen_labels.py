import csv
import functools
import pathlib
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitmill.storage.local_output import LocalFolder
from pipelines.listing import frozen_labels
from pipelines.listing.frozen_labels import FrozenLabels, freeze_labels
from pipelines.listing.frozen_listing import freeze_listing, list_range, read_index
from pipelines.listing.input_listing import list_with_ranges
from pipelines.listing.true_labels import LabelsFile, attach_labels
from pipelines.score import run_listing
from pipelines.score.run_listing import open_listing
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from schemas.errors import StoppedError, UserError
from schemas.layout import LABELS_INDEX
from schemas.prediction import NO_LABEL
from tests.gcs_emulator import Bucket

URIS = st.text(st.sampled_from("ab/!1\u00e9"), min_size=1, max_size=4).map(lambda name: f"gs://bucket/{name}")


def write_labels(path: pathlib.Path, rows: list[tuple[str, int]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    return str(path)


@given(st.dictionaries(URIS, st.integers(0, 9)), st.sets(URIS))
@settings(deadline=None)
def test_frozen_labels_say_what_the_csv_says(rows: dict[str, int], others: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen_labels, "_LABELS_OF_A_FILE", 3)
        output = LocalFolder(pathlib.Path(folder))
        assert FrozenLabels.open(output) is None
        labels = LabelsFile(write_labels(pathlib.Path(folder) / "labels.csv", [*rows.items()]))
        for name, data in freeze_labels(labels):
            output.write_once(name, data)
        frozen = FrozenLabels.open(output)
        assert frozen is not None
        assert str(frozen) == str(labels)
        for uri in sorted({*rows, *others}):
            assert frozen.of(uri) == labels.of(uri)


def test_workers_label_what_they_list(
    bucket: Bucket, tmp_path: pathlib.Path, bundle_path: pathlib.Path
) -> None:
    for number in range(40):
        bucket.put(f"in/{number:03d}.png", b"x")
    rows = [(f"{bucket.uri}/in/{number:03d}.png", number % 10) for number in range(20, 40, 2)]
    rows += [(f"{bucket.uri}/in/033.png!{page}", page) for page in (1, 3)]
    path = write_labels(tmp_path / "labels.csv", rows)
    output = LocalFolder(tmp_path / "out")
    output.claim()
    labels = LabelsFile(path)
    listing = list_with_ranges([f"{bucket.uri}/in"], limit=10)
    listing.side_files.append(lambda: freeze_labels(labels))
    listing.map(lambda images: attach_labels(images, labels, more=lambda: bool(listing.ranges)))
    # None of the launcher's images has a label, but there are more.
    assert sum(item.images for item in freeze_listing(listing, output, run="run")) == 10
    assert output.exists(LABELS_INDEX)
    found = {}
    for keys in read_index(output).ranges:
        for _, item in list_range(keys, output, run="run", folder_labels=False, size=7):
            found |= {image.uri: (image.label, image.page_labels) for image in item.images}
    assert len(found) == 30
    there = {uri: label for uri, (label, _) in found.items() if label != NO_LABEL}
    assert there == dict(rows[:-2]) | {f"{bucket.uri}/in/033.png": 1}
    assert found[f"{bucket.uri}/in/033.png"] == (1, "1-3")
    options = ScoreOptions((f"{bucket.uri}/in",), bundle_path, str(tmp_path / "other"), labels=path, limit=10)
    with pytest.raises(UserError, match="no image of the input has a label"):
        list(open_listing(options))


def test_labels_of_folders_may_begin_after_what_the_launcher_lists(bucket: Bucket) -> None:
    for name in ("-/1.png", "-/2.png", "7/1.png", "8/1.png"):
        bucket.put(f"in/{name}", b"x")
    listing = list_with_ranges([f"{bucket.uri}/in/"], limit=2)
    listing.map(lambda images: attach_labels(images, "folder", more=lambda: bool(listing.ranges)))
    assert [image.label for image in listing] == [NO_LABEL] * 2
    assert listing.ranges


def test_an_archive_in_a_range_ends_the_run_in_one_line_that_says_why(
    bucket: Bucket, tmp_path: pathlib.Path, bundle_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_listing, "list_with_ranges", functools.partial(list_with_ranges, limit=2))
    for name in ("1.png", "2.png", "3.png", "4.zip"):
        bucket.put(f"in/{name}", b"x")
    path = write_labels(tmp_path / "labels.csv", [(f"{bucket.uri}/in/1.png", 1)])
    options = ScoreOptions((f"{bucket.uri}/in",), bundle_path, str(tmp_path / "out"), labels=path)
    with pytest.raises(StoppedError) as raised:
        run(options)
    assert "a labels file cannot label the members of an archive" in str(raised.value)
    assert "in/4.zip" in str(raised.value)
    assert "\n" not in str(raised.value)
