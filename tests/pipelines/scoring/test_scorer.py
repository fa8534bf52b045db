import hashlib
import json
import os
import pathlib
from collections.abc import Callable

import pytest

from digitmill.engines.engine import LiteRtEngine
from digitmill.storage import ImageReader
from digitmill.storage.local_output import LocalFolder
from pipelines.scoring.classify import Classifier
from pipelines.scoring.scorer import Scorer
from schemas.layout import statistics_name


def scorer(engine: LiteRtEngine, output: pathlib.Path, threshold: float = 0.9) -> Scorer:
    output.mkdir(exist_ok=True)
    classifier = Classifier(engine, accept_threshold=threshold)
    return Scorer(classifier, ImageReader(), output=LocalFolder(output))


def written(output: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


def test_a_rerun_writes_the_same_bytes(
    mixed_folder: pathlib.Path, engine: LiteRtEngine, items_of: Callable, tmp_path: pathlib.Path
) -> None:
    for output in ("one", "two"):
        for item in items_of(mixed_folder, 20):
            scorer(engine, tmp_path / output).run(item)
    assert written(tmp_path / "one") == written(tmp_path / "two")
    records = [name for name in written(tmp_path / "one") if name.startswith("statistics/")]
    assert len(records) == len(items_of(mixed_folder, 20))


def test_an_item_that_is_done_is_not_scored_again(
    mixed_folder: pathlib.Path,
    engine: LiteRtEngine,
    items_of: Callable,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (item,) = items_of(mixed_folder)
    first = scorer(engine, tmp_path / "out").run(item)
    before = written(tmp_path / "out")
    monkeypatch.setattr(ImageReader, "read", lambda *_: pytest.fail("it was read again"))
    assert scorer(engine, tmp_path / "out").run(item) == first
    assert written(tmp_path / "out") == before


@pytest.mark.parametrize("survivors", [0, 1, 2])
def test_an_item_interrupted_between_its_files_is_completed(
    mixed_folder: pathlib.Path,
    engine: LiteRtEngine,
    items_of: Callable,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    survivors: int,
) -> None:
    (item,) = items_of(mixed_folder)
    scorer(engine, tmp_path / "whole").run(item)
    real, named = os.link, []

    def dies(source: str, target: str) -> None:
        if len(named) == survivors:
            raise KeyboardInterrupt
        named.append(target)
        real(source, target)

    monkeypatch.setattr(os, "link", dies)
    with pytest.raises(KeyboardInterrupt):
        scorer(engine, tmp_path / "cut").run(item)
    assert not (tmp_path / "cut" / statistics_name(item.digest)).exists()
    monkeypatch.undo()
    scorer(engine, tmp_path / "cut").run(item)
    assert written(tmp_path / "cut") == written(tmp_path / "whole")


def test_a_second_attempt_writes_its_own_files(
    mixed_folder: pathlib.Path, engine: LiteRtEngine, items_of: Callable, tmp_path: pathlib.Path
) -> None:
    (item,) = items_of(mixed_folder)
    first = scorer(engine, tmp_path / "out").run(item)
    (tmp_path / "out" / statistics_name(item.digest)).unlink()  # as a crash before the record leaves it
    victim = next(mixed_folder.glob("3/*.png"))
    victim.unlink()
    second = scorer(engine, tmp_path / "out").run(item)
    assert (second.scored, len(second.failures)) == (first.scored - 1, len(first.failures) + 1)
    assert not {part.name for part in first.parts} & {part.name for part in second.parts}
    for part in second.parts:
        data = (tmp_path / "out" / part.name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == part.sha256
        assert victim.as_uri().encode() not in data


def test_the_first_record_of_two_workers_counts(
    mixed_folder: pathlib.Path,
    engine: LiteRtEngine,
    items_of: Callable,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (item,) = items_of(mixed_folder)
    quick, slow = scorer(engine, tmp_path / "out"), scorer(engine, tmp_path / "out")
    real, results = LocalFolder.write_once, []

    def overtaken(folder: LocalFolder, name: str, data: bytes) -> None:
        if name.startswith("statistics/"):
            monkeypatch.setattr(LocalFolder, "write_once", real)
            next(mixed_folder.glob("3/*.png")).unlink()
            results.append(quick.run(item))
        real(folder, name, data)

    monkeypatch.setattr(LocalFolder, "write_once", overtaken)
    results.append(slow.run(item))
    assert results[0] == results[1]
    for part in results[0].parts:
        data = (tmp_path / "out" / part.name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == part.sha256


def test_an_item_with_only_failures_is_written(
    tmp_path: pathlib.Path, engine: LiteRtEngine, items_of: Callable
) -> None:
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / name).touch()
    (item,) = items_of(tmp_path / "in")
    statistics = scorer(engine, tmp_path / "out").run(item)
    assert (statistics.listed, statistics.scored, len(statistics.failures)) == (3, 0, 3)
    assert statistics.parts == ()
    assert not (tmp_path / "out" / "predictions").exists()


def test_the_statistics_record_is_the_rows_sum(
    digit_folder: pathlib.Path, engine: LiteRtEngine, items_of: Callable, tmp_path: pathlib.Path
) -> None:
    (item,) = items_of(digit_folder)
    statistics = scorer(engine, tmp_path).run(item)
    record = json.loads((tmp_path / statistics_name(item.digest)).read_text())
    assert (
        record["scored"]
        == sum(tally["images"] for tally in record["tallies"])
        == sum(record["confidences"])
        == 500
    )
    assert record["doubtful"][0]["confidence"] == min(image["confidence"] for image in record["doubtful"])
    assert [part.rows for part in statistics.parts] == [500, 500]
