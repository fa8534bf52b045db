import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from click.testing import CliRunner

from digitmill.storage.listed_image import ListedImage
from pipelines.score import preview
from pipelines.score.preview import Tally
from pipelines.score.score_command import score
from pipelines.score_options import ScoreOptions
from schemas.errors import UserError
from tests.gcs_emulator import Bucket, Proxy


def look(folder: object, bundle_path: pathlib.Path, output: object, **more: object) -> preview.Preview:
    return preview.preview(ScoreOptions(inputs=(str(folder),), model=bundle_path, output=str(output), **more))


def test_it_counts_and_writes_nothing(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.make_archive(str(mixed_folder / "some"), "zip", mixed_folder / "3")
    before = sorted(tmp_path.rglob("*"))
    found = look(mixed_folder, bundle_path, tmp_path / "out")
    assert (found.listed, found.todo.files, found.todo.archives) == (66, 66, 1)
    assert found.todo.bytes == sum(path.stat().st_size for path in mixed_folder.rglob("*") if path.is_file())
    assert (found.sampled, found.failed, found.requests, found.items) == (65, 5, 0, 2)
    assert found.seconds > 0
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_prints_a_table(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    asked = ["--input", mixed_folder, "--model", bundle_path, "--output", tmp_path / "out", "--dry-run"]
    said = CliRunner().invoke(score, [*map(str, asked)], catch_exceptions=False).output.splitlines()
    assert said[0] == "files       65"
    assert said[-1] == "nothing was written"
    assert not (tmp_path / "out").exists()


def test_requests_to_a_bucket_are_estimated(
    digits: np.ndarray, png_of: Callable, bundle_path: pathlib.Path, bucket: Bucket, through_proxy: Proxy
) -> None:
    for number in range(30):
        bucket.put(f"in/{number}.png", png_of(digits[number]))
    found = look(f"{bucket.uri}/in", bundle_path, f"{bucket.uri}/out")
    assert found.requests == 1 + 30 + 5
    assert "30 scored just now, 0 of them failed" in found.table()
    assert all(name.startswith("in/") for name in bucket.names())


def test_limit_and_sample_reduce_the_images(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    assert look(mixed_folder, bundle_path, tmp_path / "out", limit=7).todo.files == 7
    assert look(mixed_folder, bundle_path, tmp_path / "out", sample=9).todo.files == 9


def test_invalid_options_are_refused_as_in_a_run(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match="input not found"):
        look(tmp_path / "none", bundle_path, tmp_path / "out")
    with pytest.raises(UserError, match="the output is inside an input"):
        look(mixed_folder, bundle_path, mixed_folder / "out")
    with pytest.raises(UserError, match="no finished run in this folder or below it"):
        look(mixed_folder, bundle_path, tmp_path / "out", since=str(tmp_path / "none"))


def test_the_sample_is_drawn_from_everywhere_and_the_same_every_time() -> None:
    images = [ListedImage(f"file:///{number:05d}", 1, 10) for number in range(20_000)]
    tally, again = Tally(), Tally()
    assert list(tally.count(images)) == images
    list(again.count(reversed(images)))
    drawn = sorted(image for _, image in tally.sample)
    assert drawn == sorted(image for _, image in again.sample)
    assert len(drawn) == preview.SAMPLE
    quarters = np.histogram([int(image.uri[-5:]) for image in drawn], 4, (0, 20_000))[0]
    assert min(quarters) > preview.SAMPLE / 8


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5400, "1.5 h"), (36_000, "10.0 h")]
)
def test_durations_are_readable(seconds: float, said: str) -> None:
    assert preview._duration(seconds) == said
