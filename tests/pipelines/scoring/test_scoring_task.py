import pathlib
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from digitmill.engines.bundle_loader import Bundle
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.read_limits import ReadLimits
from pipelines.scoring import scoring_task
from pipelines.scoring.scoring_task import LocalScorer, ScoringTask
from schemas.errors import StorageError


class StalledReader:
    """Reads from a store that does not answer."""

    def __init__(self, limits: ReadLimits) -> None:
        self.limits = limits
        self.began = threading.Event()
        self.ended = threading.Event()
        self.early = True

    def read(self, images: Sequence[ListedImage]) -> Iterator[bytes]:
        self.began.set()
        assert self.ended.wait(60)
        raise StorageError("stopped", value=images[0].uri, hint="start again")
        yield b""

    def interrupt(self) -> None:
        if not self.early:  # the first one came between two requests
            self.ended.set()
        self.early = False


def test_a_cancelled_item_waits_for_no_store(
    digit_folder: pathlib.Path,
    bundle: Bundle,
    items_of: Callable,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readers: list[StalledReader] = []

    def stalled(limits: ReadLimits) -> StalledReader:
        readers.append(StalledReader(limits))
        return readers[-1]

    monkeypatch.setattr(scoring_task, "ImageReader", stalled)
    monkeypatch.setattr(scoring_task, "_CANCEL_SECONDS", 0.01)
    monkeypatch.setattr(scoring_task, "load_item", lambda *_: items_of(digit_folder)[0])
    (tmp_path / "out").mkdir()
    task = ScoringTask(bundle=bundle, output=str(tmp_path / "out"), run="run", accept_threshold=0.9)
    scorer = LocalScorer(task)
    pending = scorer.submit(("listing", 0))
    assert readers[0].began.wait(60)
    scorer.cancel([pending])
    assert isinstance(pending.exception(), StorageError)
