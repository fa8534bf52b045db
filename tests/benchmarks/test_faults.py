import shutil
from collections.abc import Iterator

import pytest

from benchmarks.faults import measure
from benchmarks.process import ROOT
from benchmarks.stand_in_store import Faults, counts, serving
from benchmarks.workspace import write_images

IMAGES = 300


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("buckets")
    write_images(folder / "digits", IMAGES)
    (folder / "out").mkdir()
    with serving(folder) as address:
        yield address
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("503", Faults(503, seconds=3, after=50)),
        ("429", Faults(429, seconds=3, after=50)),
        ("401", Faults(401, seconds=3)),
        ("writes", Faults(503, seconds=1, after=50, everything=True)),
        ("rate", Faults(rate=200)),
    ],
)
def test_a_run_in_a_storm_loses_no_image(address: str, name: str, fault: Faults) -> None:
    outcome = measure(address, fault, "--output", f"gs://out/{name}", code=ROOT)
    assert (outcome.code, outcome.counts) == (0, {"scored": IMAGES, "failed": 0})
    assert counts(address)["refused"]
    after = ("--output", f"gs://out/{name}-after", "--since", f"gs://out/{name}")
    assert measure(address, Faults(), *after, code=ROOT).counts["scored"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fault", "why"),
    [
        ("refused", Faults(403, seconds=1e9), "a bucket of the input refuses every read: 'gs://digits/'"),
        ("gone", Faults(503, seconds=1e9, after=50), "cannot reach a bucket of the input: 'gs://digits/'"),
    ],
)
def test_a_storm_that_outlasts_the_deadline_stops_the_run(
    address: str, name: str, fault: Faults, why: str
) -> None:
    asked = ("--output", f"gs://out/{name}", "--retry-deadline", "1")
    stopped = measure(address, fault, *asked, code=ROOT)
    assert stopped.code == 1
    assert why in stopped.last
    assert "To resume: digitmill score" in stopped.last
    assert stopped.reads < IMAGES
    resumed = measure(address, Faults(), *asked, "--resume", code=ROOT)
    assert (resumed.code, resumed.counts) == (0, {"scored": IMAGES, "failed": 0})
