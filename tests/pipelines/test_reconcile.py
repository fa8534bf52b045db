import dataclasses
import pathlib
from collections.abc import Callable

import pytest

from pipelines.classify import Classifier
from pipelines.engine import LiteRtEngine
from pipelines.reconcile import collect
from pipelines.scoring import Scorer, statistics_name
from pipelines.storage import ImageReader
from pipelines.storage.local import LocalFolder
from pipelines.work_item import WorkItem
from schemas.errors import UnreconciledError


@pytest.fixture
def run(
    mixed_folder: pathlib.Path, engine: LiteRtEngine, items_of: Callable, tmp_path: pathlib.Path
) -> tuple[list[WorkItem], LocalFolder]:
    items = items_of(mixed_folder, 20)
    for item in items:
        classifier = Classifier(engine, accept_threshold=0.9)
        Scorer(classifier, ImageReader(), output=LocalFolder(tmp_path / "out")).run(item)
    return items, LocalFolder(tmp_path / "out")


def test_a_complete_run_adds_up(run: tuple) -> None:
    items, output = run
    statistics = collect(items, output=output)
    assert statistics.scored + len(statistics.failures) == sum(len(item.images) for item in items) == 65


def test_a_missing_record_is_named(run: tuple) -> None:
    items, output = run
    (output.path / statistics_name(items[1].digest)).unlink()
    with pytest.raises(UnreconciledError, match=f"part-{items[1].digest}.json with 20 images"):
        collect(items, output=output)


def test_a_damaged_record_is_named(run: tuple) -> None:
    items, output = run
    record = output.path / statistics_name(items[0].digest)
    record.write_bytes(record.read_bytes()[:-10])
    with pytest.raises(UnreconciledError, match=f"part-{items[0].digest}.json"):
        collect(items, output=output)


def test_a_record_that_lost_an_image_is_named(run: tuple) -> None:
    items, output = run
    short = [dataclasses.replace(item, images=item.images[:-1]) for item in items]
    with pytest.raises(UnreconciledError, match="listed = scored \\+ failed"):
        collect(short, output=output)
