import dataclasses
import pathlib
from collections.abc import Callable

import pytest

from pipelines.engine import LiteRtEngine
from pipelines.reconcile import collect
from pipelines.scoring import score_and_write, statistics_file
from pipelines.work_item import WorkItem
from schemas.errors import UnreconciledError


@pytest.fixture
def run(
    mixed_folder: pathlib.Path, engine: LiteRtEngine, items_of: Callable, tmp_path: pathlib.Path
) -> tuple[list[WorkItem], pathlib.Path]:
    items = items_of(mixed_folder, 20)
    for item in items:
        score_and_write(item, engine, output=tmp_path / "out", accept_threshold=0.9)
    return items, tmp_path / "out"


def test_a_complete_run_adds_up(run: tuple) -> None:
    items, output = run
    statistics = collect(items, output)
    assert statistics.scored + len(statistics.failures) == sum(len(item.images) for item in items) == 65


def test_a_missing_record_is_named(run: tuple) -> None:
    items, output = run
    statistics_file(output, items[1].digest).unlink()
    with pytest.raises(UnreconciledError, match=f"part-{items[1].digest}.json with 20 images"):
        collect(items, output)


def test_a_damaged_record_is_named(run: tuple) -> None:
    items, output = run
    record = statistics_file(output, items[0].digest)
    record.write_bytes(record.read_bytes()[:-10])
    with pytest.raises(UnreconciledError, match=f"part-{items[0].digest}.json"):
        collect(items, output)


def test_a_record_that_lost_an_image_is_named(run: tuple) -> None:
    items, output = run
    short = [dataclasses.replace(item, images=item.images[:-1]) for item in items]
    with pytest.raises(UnreconciledError, match="listed = scored \\+ failed"):
        collect(short, output)
