import csv
import dataclasses
import functools
import gzip
import pathlib
import random
import shutil
import time
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from digitmill.storage import open_folder
from pipelines.compact import compact_job
from pipelines.compact.compact_command import compact
from pipelines.compact.compact_job import CompactOptions
from pipelines.compact.merging import FAILURE, LISTED, ROW, resolve
from pipelines.history.block_shuffle import Spill
from pipelines.output import run_progress
from pipelines.output.verification import verify
from pipelines.report.rebuilding import rebuild_report
from pipelines.score import score_job
from pipelines.score_options import ScoreOptions
from schemas import prediction
from schemas.errors import StoppedError, StorageError, UserError
from schemas.manifest import Manifest
from schemas.run_plan import RunPlan
from tests.beam_engines import interrupt_scoring
from tests.gcs_emulator import Bucket

FLAGS = ("--runner=FnApiRunner",)


def score(folder: object, bundle: pathlib.Path, output: object, **more: object) -> Manifest:
    options = ScoreOptions(inputs=(str(folder),), model=bundle, output=str(output), beam_flags=FLAGS, **more)
    return score_job.run(options).manifest


def merge(*runs: object, output: object, **more: object) -> Manifest:
    options = CompactOptions(runs=tuple(map(str, runs)), output=str(output), beam_flags=FLAGS, **more)
    done = compact_job.run(options).manifest
    assert verify(open_folder(str(output))).findings == ()
    return done


def table(output: pathlib.Path, pattern: str) -> list[dict]:
    rows = []
    for path in output.glob(pattern):
        with path.open(newline="") as file:
            rows += csv.DictReader(file)
    return sorted(rows, key=lambda row: row["image"])


def records(output: pathlib.Path) -> list[tuple]:
    spec = {name: tf.io.FixedLenFeature(*feature) for name, feature in prediction.feature_spec().items()}
    parts = [str(path) for path in output.glob("predictions/*.tfrecord.gz")]
    found = []
    for record in tf.data.TFRecordDataset(parts, compression_type="GZIP"):
        values = tf.io.parse_single_example(record, spec)
        found.append(tuple(repr(values[name].numpy()) for name in spec))
    return sorted(found)


def same_state(merged: pathlib.Path, whole: pathlib.Path) -> None:
    for pattern in ("predictions/*.csv", "reports/failures.csv"):
        assert table(merged, pattern) == table(whole, pattern)
    for name in ("summary.csv", "confusion.csv"):
        assert (merged / "reports" / name).read_bytes() == (whole / "reports" / name).read_bytes()
    assert records(merged) == records(whole)


def three_nights(folder: pathlib.Path, bundle: pathlib.Path, nights: pathlib.Path, **more: object) -> None:
    """A folder that grows, changes, breaks and loses, each night scored since the ones before."""
    digits = sorted(folder.glob("[0-9]/*.png"))
    for night in range(3):
        score(folder, bundle, nights / str(night), since=str(nights), labels="folder", **more)
        one, two, three, four = digits[4 * night : 4 * night + 4]
        shutil.copy(one, one.with_name(f"new{night}.png"))
        two.write_bytes(three.read_bytes())
        three.write_bytes(b"broken")
        four.unlink()
    score(folder, bundle, nights / "3", since=str(nights), labels="folder", **more)


@pytest.mark.slow
def test_the_merged_state_equals_scoring_everything_again(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    three_nights(mixed_folder, bundle_path, tmp_path / "nights")
    whole = score(mixed_folder, bundle_path, tmp_path / "whole", labels="folder")
    merged = merge(tmp_path / "nights", output=tmp_path / "state")
    same_state(tmp_path / "state", tmp_path / "whole")
    for name in ("counts", "failures", "labeled", "right", "accepted"):
        assert getattr(merged, name) == getattr(whole, name)


@pytest.mark.slow
def test_the_number_of_buckets_does_not_matter(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    three_nights(mixed_folder, bundle_path, tmp_path / "nights", rows_per_part=9)
    score(mixed_folder, bundle_path, tmp_path / "whole", labels="folder")
    merge(tmp_path / "nights", output=tmp_path / "state", rows_per_part=10)
    same_state(tmp_path / "state", tmp_path / "whole")
    assert len(list((tmp_path / "state/predictions").glob("*.csv"))) > 5


@pytest.mark.slow
def test_archives_are_merged_member_by_member(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    inputs, nights = tmp_path / "in", tmp_path / "nights"
    inputs.mkdir()
    for name in ("one", "two"):
        shutil.make_archive(str(inputs / name), "zip", mixed_folder)
    score(inputs, bundle_path, nights / "1", since=str(nights), labels="folder")
    next(mixed_folder.glob("3/*.png")).unlink()
    shutil.make_archive(str(inputs / "two"), "zip", mixed_folder)
    shutil.copy(next(mixed_folder.glob("5/*.png")), inputs / "single.png")
    score(inputs, bundle_path, nights / "2", since=str(nights), labels="folder")
    whole = score(inputs, bundle_path, tmp_path / "whole", labels="folder")
    assert merge(nights, output=tmp_path / "state").counts == whole.counts
    same_state(tmp_path / "state", tmp_path / "whole")


@pytest.mark.slow
def test_later_runs_can_build_on_a_merged_state(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    three_nights(mixed_folder, bundle_path, tmp_path / "nights")
    merge(tmp_path / "nights", output=tmp_path / "state")
    shutil.copy(next(mixed_folder.glob("5/*.png")), mixed_folder / "latest.png")
    later = score(
        mixed_folder, bundle_path, tmp_path / "later", since=str(tmp_path / "state"), labels="folder"
    )
    assert later.counts.scored == 1
    merge(tmp_path / "state", tmp_path / "later", output=tmp_path / "again")
    score(mixed_folder, bundle_path, tmp_path / "whole", labels="folder")
    same_state(tmp_path / "again", tmp_path / "whole")


@pytest.mark.slow
def test_a_state_takes_the_place_of_the_runs_in_it(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    nights, states = tmp_path / "nights", tmp_path / "states"
    digits = sorted(mixed_folder.glob("[0-9]/*.png"))
    for night in ("1", "2", "3"):
        score(
            mixed_folder,
            bundle_path,
            nights / night,
            since=str(nights),
            state=str(states),
            labels="folder",
        )
        merge(nights, states, output=states / night)
        plan = RunPlan.from_json((nights / night / "run.json").read_text())
        assert [place.rpartition("/")[2] for place in plan.past] == [str(int(night) - 1)] * (night != "1")
        # What was merged is not read again.
        shutil.rmtree(nights / night / "predictions")
        shutil.rmtree(nights / night / "listing")
        one, two, three, four = digits[4 * int(night) : 4 * int(night) + 4]
        shutil.copy(one, one.with_name(f"new{night}.png"))
        two.write_bytes(three.read_bytes())
        three.write_bytes(b"broken")
        four.unlink()
    score(mixed_folder, bundle_path, nights / "4", since=str(nights), state=str(states), labels="folder")
    # The drift is that since the night before, not since the state.
    before = (nights / "3/reports/distributions.csv").read_bytes()
    previous = nights / "4/reports/previous_distributions.csv"
    assert previous.read_bytes() == before
    previous.unlink()
    rebuild_report(str(nights / "4"))
    assert previous.read_bytes() == before
    merge(nights, states, output=states / "4")
    score(mixed_folder, bundle_path, tmp_path / "whole", labels="folder")
    same_state(states / "4", tmp_path / "whole")


def test_the_disk_and_the_runner_s_shuffle_give_the_same_bytes(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "1", labels="folder")
    merge(tmp_path / "1", output=tmp_path / "disk", rows_per_part=9)
    # Steps that are repeated would write twice to a disk.
    flags = (*FLAGS, "--direct_runner_bundle_repeat=1")
    runs = (str(tmp_path / "1"),)
    compact_job.run(
        CompactOptions(runs=runs, output=str(tmp_path / "shuffled"), beam_flags=flags, rows_per_part=9)
    )
    files = [
        {
            str(path.relative_to(tmp_path / name)): path.read_bytes()
            for folder in ("predictions", "listing", "statistics", "reports")
            for path in (tmp_path / name / folder).iterdir()
        }
        for name in ("disk", "shuffled")
    ]
    assert files[0] == files[1]
    assert len(files[0]) > 20


def test_failures_beyond_those_of_a_record_go_to_files(
    mixed_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "1")
    merge(tmp_path / "1", output=tmp_path / "few")
    monkeypatch.setattr("pipelines.compact.merging.MOST_IN_MEMORY", 2)
    merge(tmp_path / "1", output=tmp_path / "many")
    assert len(list((tmp_path / "many/statistics").glob("failures-*"))) == 3
    assert table(tmp_path / "many", "reports/failures.csv") == table(tmp_path / "few", "reports/failures.csv")
    # And a run with such files is merged in turn.
    merge(tmp_path / "many", output=tmp_path / "again")
    assert table(tmp_path / "again", "reports/failures.csv") == table(
        tmp_path / "few", "reports/failures.csv"
    )


def test_a_full_disk_ends_a_merge_in_one_line(
    mixed_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "1")
    with pathlib.Path("/dev/full").open("w+b", buffering=0) as full:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: full)
        monkeypatch.setattr(compact_job, "Spill", functools.partial(Spill, held=1))
        with pytest.raises(
            StoppedError, match=r"^[^\n]*the disk is full[^\n]*TMPDIR[^\n]*To resume: [^\n]*$"
        ):
            merge(tmp_path / "1", output=tmp_path / "state")


def test_a_prediction_file_that_has_changed_is_refused(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "1")
    part = sorted((tmp_path / "1/predictions").glob("*.tfrecord.gz"))[0]
    part.write_bytes(gzip.compress(gzip.decompress(part.read_bytes()), 1))
    with pytest.raises(StoppedError, match=rf"missing or damaged .*{part.name} has changed"):
        merge(tmp_path / "1", output=tmp_path / "state")
    assert not (tmp_path / "state/manifest.json").exists()


def test_nights_in_a_bucket(
    digits: np.ndarray, png_of: Callable, bundle_path: pathlib.Path, bucket: Bucket
) -> None:
    for number in range(20):
        bucket.put(f"in/{number}.png", png_of(digits[number]))
    nights = f"{bucket.uri}/nights"
    score(f"{bucket.uri}/in", bundle_path, f"{nights}/1", since=nights)
    bucket.put("in/7.png", png_of(digits[77]))
    bucket.delete("in/8.png")
    score(f"{bucket.uri}/in", bundle_path, f"{nights}/2", since=nights)
    merged = merge(nights, output=f"{bucket.uri}/state")
    assert dataclasses.astuple(merged.counts) == (19, 19, 0, 0)


@pytest.mark.slow
def test_runs_of_different_inputs_are_kept_side_by_side(
    digit_folder: pathlib.Path, mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    score(digit_folder, bundle_path, tmp_path / "a")
    score(mixed_folder, bundle_path, tmp_path / "b")
    score(digit_folder / "3", bundle_path, tmp_path / "c", limit=2)
    merged = merge(tmp_path / "a", tmp_path / "b", tmp_path / "c", output=tmp_path / "state")
    assert dataclasses.astuple(merged.counts) == (565, 560, 5, 0)


@pytest.mark.slow
def test_runs_of_different_models_merge_but_cover_nothing(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(bundle_path, other)
    card = other / "model_card.json"
    card.write_text(card.read_text().replace('"seed": 0', '"seed": 1'))
    score(mixed_folder, bundle_path, tmp_path / "1")
    score(mixed_folder, other, tmp_path / "2")
    merge(tmp_path / "1", tmp_path / "2", output=tmp_path / "state")
    later = score(mixed_folder, other, tmp_path / "later", since=str(tmp_path / "state"))
    assert later.counts.skipped == 0


@pytest.mark.slow
def test_a_file_restored_to_an_earlier_version_gets_the_outcome_of_that_version(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    nights, file, kept = tmp_path / "nights", next(mixed_folder.glob("3/*.png")), tmp_path / "kept.png"
    shutil.copy2(file, kept)
    score(mixed_folder, bundle_path, nights / "1", since=str(nights), labels="folder")
    file.write_bytes(next(mixed_folder.glob("5/*.png")).read_bytes())
    score(mixed_folder, bundle_path, nights / "2", since=str(nights), labels="folder")
    shutil.copy2(kept, file)
    assert (
        score(mixed_folder, bundle_path, nights / "3", since=str(nights), labels="folder").counts.scored == 0
    )
    merge(nights, output=tmp_path / "state")
    score(mixed_folder, bundle_path, tmp_path / "whole", labels="folder")
    same_state(tmp_path / "state", tmp_path / "whole")


@pytest.mark.slow
def test_runs_of_different_input_lists_are_kept_side_by_side(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    digits = sorted(mixed_folder.glob("[0-9]/*.png"))
    for night, names in enumerate((digits[:4], digits[4:7])):
        named = tmp_path / "new.txt"
        named.write_text("".join(f"{name}\n" for name in names))
        options = ScoreOptions(
            inputs=(), input_list=named, model=bundle_path, output=str(tmp_path / f"nights/{night}")
        )
        score_job.run(options)
    assert merge(tmp_path / "nights", output=tmp_path / "state").counts.scored == 7
    assert merge(tmp_path / "nights/1", output=tmp_path / "one").counts.scored == 3
    # States of lists are told apart as the lists are.
    assert merge(tmp_path / "nights/0", tmp_path / "one", output=tmp_path / "both").counts.scored == 7


@pytest.mark.slow
def test_an_input_is_the_same_however_it_is_written(
    mixed_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    score(f"{mixed_folder}/", bundle_path, tmp_path / "nights/1")
    monkeypatch.chdir(mixed_folder.parent)
    digits = sorted(mixed_folder.glob("[0-9]/*.png"))
    digits[0].unlink()
    score(mixed_folder.name, bundle_path, tmp_path / "nights/2")
    digits[1].unlink()
    score(mixed_folder.as_uri(), bundle_path, tmp_path / "nights/3")
    assert merge(tmp_path / "nights", output=tmp_path / "state").counts.scored == 58


@pytest.mark.slow
def test_equal_relative_inputs_in_different_places_are_different_scopes(
    mixed_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for digit in ("3", "5"):
        (tmp_path / digit).mkdir()
        shutil.copytree(mixed_folder / digit, tmp_path / digit / "scans")
        monkeypatch.chdir(tmp_path / digit)
        score("scans", bundle_path, tmp_path / "nights" / digit)
    files = len(list((mixed_folder / "3").iterdir())) + len(list((mixed_folder / "5").iterdir()))
    assert merge(tmp_path / "nights", output=tmp_path / "state").counts.listed == files


@pytest.mark.slow
def test_a_resumed_run_is_as_old_as_its_first_start(
    mixed_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nights = tmp_path / "nights"
    interrupt_scoring(monkeypatch)
    with pytest.raises(StoppedError):
        score(mixed_folder, bundle_path, nights / "1", since=str(nights), labels="folder")
    monkeypatch.undo()
    digits = sorted(mixed_folder.glob("[0-9]/*.png"))
    shutil.copy(digits[0], mixed_folder / "new.png")
    digits[1].unlink()
    score(mixed_folder, bundle_path, nights / "2", since=str(nights), labels="folder")
    score(mixed_folder, bundle_path, nights / "1", since=str(nights), labels="folder", resume=True)
    merge(nights, output=tmp_path / "state")
    score(mixed_folder, bundle_path, tmp_path / "whole", labels="folder")
    same_state(tmp_path / "state", tmp_path / "whole")


@pytest.mark.slow
def test_a_merged_run_is_as_old_as_its_newest_run(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    nights = tmp_path / "nights"
    score(mixed_folder, bundle_path, nights / "1", since=str(nights))
    shutil.copy(next(mixed_folder.glob("3/*.png")), mixed_folder / "new.png")
    score(mixed_folder, bundle_path, nights / "2", since=str(nights))
    merge(nights / "1", output=tmp_path / "state")  # when the second night has been begun already
    again = merge(tmp_path / "state", nights, output=tmp_path / "again")
    assert again.counts.listed == 66


@pytest.mark.slow
def test_a_later_run_over_a_part_of_the_inputs_counts(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    nights = tmp_path / "nights"
    score(mixed_folder, bundle_path, nights / "1")
    (mixed_folder / "0").rename(tmp_path / "0")
    shutil.copy(next(mixed_folder.glob("3/*.png")), mixed_folder / "-first.png")
    score(mixed_folder, bundle_path, nights / "2", limit=1)
    assert merge(nights, output=tmp_path / "state").counts.listed == 66
    # What was made of parts alone is a part.
    merge(nights / "2", output=tmp_path / "part")
    assert merge(nights / "1", tmp_path / "part", output=tmp_path / "both").counts.listed == 66


@pytest.mark.slow
def test_moved_runs_are_recognized(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for night in ("1", "2"):
        score(mixed_folder, bundle_path, tmp_path / "nights" / night, since=str(tmp_path / "nights"))
    (tmp_path / "nights").rename(tmp_path / "archive")
    assert merge(tmp_path / "archive", output=tmp_path / "state").counts.listed == 65


def test_a_run_is_not_merged_into_itself(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "1")
    with pytest.raises(UserError, match="no runs besides the output"):
        merge(tmp_path / "1", output=tmp_path / "1", resume=True)


@pytest.mark.slow
def test_a_run_without_the_runs_that_it_builds_on_is_refused(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "1")
    score(mixed_folder, bundle_path, tmp_path / "2", since=str(tmp_path / "1"))
    with pytest.raises(UserError, match="this run skipped images that another run scored") as caught:
        merge(tmp_path / "2", output=tmp_path / "state")
    assert f"Name {tmp_path / '1'}, too" in str(caught.value)
    assert not (tmp_path / "state").exists()
    with pytest.raises(UserError, match="no finished run in this folder or below it"):
        merge(tmp_path / "none", output=tmp_path / "state")


@pytest.mark.slow
def test_an_interrupted_merge_is_resumed(
    mixed_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "1")

    def fails(*_: object, **__: object) -> None:
        raise StorageError("the store is there", value="it", hint="mend it")

    monkeypatch.setattr("pipelines.compact.merging.write_parts", fails)
    with pytest.raises(StoppedError, match=r"the store is there: .* digitmill compact .* --resume"):
        merge(tmp_path / "1", output=tmp_path / "state")
    monkeypatch.undo()
    with pytest.raises(UserError, match="--resume"):
        merge(tmp_path / "1", output=tmp_path / "state")
    score(mixed_folder, bundle_path, tmp_path / "2")
    with pytest.raises(UserError, match="cannot resume: the output is a merge of other runs"):
        merge(tmp_path / "1", tmp_path / "2", output=tmp_path / "state", resume=True)
    merged = merge(tmp_path / "1", output=tmp_path / "state", resume=True)
    assert merged.counts.scored == 60
    assert merge(tmp_path / "1", output=tmp_path / "state", resume=True) == merged


def test_the_command(mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    score(mixed_folder, bundle_path, tmp_path / "1")
    options = [str(tmp_path / "1"), "--output", str(tmp_path / "state"), *FLAGS]
    result = CliRunner().invoke(compact, options, catch_exceptions=False)
    assert result.output.splitlines()[0] == "images       65"


@pytest.mark.slow
def test_flags_of_beam_come_with_their_values_after_the_runs(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    score(mixed_folder, bundle_path, tmp_path / "1")
    options = [str(tmp_path / "1"), "--runner", "FnApiRunner", "--output", str(tmp_path / "state")]
    assert CliRunner().invoke(compact, options, catch_exceptions=False).exit_code == 0
    result = CliRunner().invoke(compact, ["--runner", "FnApiRunner", "x", "--output", str(tmp_path / "no")])
    assert "The runs come before the flags of Beam" in result.output


NIGHT = st.dictionaries(
    st.sampled_from("abcd"), st.sampled_from(["row", "failure", "vouched for"]), max_size=4
)


@given(st.lists(NIGHT, max_size=4), st.sets(st.integers(0, 3)), st.randoms())
def test_the_last_outcome_counts_in_any_order(nights: list, current: set[int], order: random.Random) -> None:
    blocks, last, there = [], {}, {}
    for number, night in enumerate(nights):
        for uri, what in night.items():
            version = (uri, number % 2)
            if number in current:
                blocks.append((number, LISTED, [(version, (*version, 1, -1, ""))]))
                there[uri] = version
            if what != "vouched for":
                blocks.append((number, ROW if what == "row" else FAILURE, [(version, (number, what))]))
                last[version] = (number, what)
    order.shuffle(blocks)
    found, outcomes = resolve(blocks)
    assert {uri: image[:2] for uri, (_, image) in found.items()} == there
    assert {version: next(iter(outcome.entries.values())) for version, outcome in outcomes.items()} == {
        version: [what] for version, what in last.items()
    }


def test_a_merge_that_stands_still_is_stopped(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    score(digit_folder, bundle_path, tmp_path / "1", limit=5)
    with monkeypatch.context() as patched:
        patched.setattr(compact_job, "runner_state", lambda _: lambda: "the runner is silent")
        patched.setattr(run_progress, "POLL_SECONDS", 0.01)
        patched.setattr(compact_job.beam.Pipeline, "run", lambda *_: time.sleep(60))
        with pytest.raises(
            StoppedError, match=r"no progress for .*the runner is silent.* To resume: digitmill"
        ):
            merge(tmp_path / "1", output=tmp_path / "state", stall_timeout=1e-4)
    assert merge(tmp_path / "1", output=tmp_path / "state", resume=True).counts.scored == 5
