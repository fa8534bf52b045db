"""The figures to reach, and what was reached."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Final

from benchmarks.contenders import BOUNDS
from benchmarks.results import Results
from benchmarks.table import Table
from benchmarks.tables import DIGITMILL, processor_of_image, rate_from_bucket

LARGE: Final = 60_000
MIDDLE: Final = 10_000


@dataclasses.dataclass(frozen=True)
class Target:
    """A bound on a figure.

    Attributes:
        what: for the table.
        bound: the figure is at least this, or at most.
        measured: the figure from the runs; NaN where they do not hold it.
        unit: behind the number.
        at_most: which of both.
    """

    what: str
    bound: float
    measured: Callable[[Results], float]
    unit: str = "×"
    at_most: bool = False

    def row(self, results: Results) -> tuple[str, ...]:
        """Returns what, bound, figure and whether it is reached."""
        figure, wanted = self.measured(results), f"{'≤' if self.at_most else '≥'} {self.bound:g} {self.unit}"
        if math.isnan(figure):
            return self.what, wanted, "not measured", ""
        reached = figure <= self.bound if self.at_most else figure >= self.bound
        return self.what, wanted, f"{figure:.3g} {self.unit}", "yes" if reached else "no"


def faster_than(
    *peers: str, model: str, images: int = LARGE, field: str = "pipeline_seconds"
) -> Callable[[Results], float]:
    """Returns how many times as long as digitmill the fastest of some peers takes."""

    def measured(results: Results) -> float:
        runs = results.where(section="scoring", model=model, images=images)
        # A NaN first would win against every number.
        taken = [those.median(field) for peer in peers if (those := runs.where(contender=peer))]
        return min(taken, default=math.nan) / runs.where(contender=DIGITMILL).median(field)

    return measured


def grows(model: str, statistic: Callable[[Results], float]) -> Callable:
    """Returns a statistic of digitmill's runs on many images as a multiple of that on fewer."""

    def measured(results: Results) -> float:
        runs = results.where(section="scoring", model=model, contender=DIGITMILL)
        return statistic(runs.where(images=LARGE)) / statistic(runs.where(images=MIDDLE))

    return measured


def _pipeline(runs: Results) -> float:
    return runs.median("pipeline_seconds")


def _two_cores(results: Results) -> float:
    runs = results.where(section="cores")
    return _pipeline(runs.where(cores=1)) / _pipeline(runs.where(cores=2))


def _bucket(results: Results) -> float:
    runs = results.where(section="buckets")
    return rate_from_bucket(runs.where(contender=DIGITMILL)) / rate_from_bucket(
        runs.where(contender="stock Beam")
    )


def _processor(results: Results) -> float:
    return processor_of_image(results.where(section="buckets", contender=DIGITMILL))


def _started(**wanted: object) -> Callable:
    return lambda results: results.where(section="start", **wanted).median("command_seconds")


def _scoring(model: str, beam: float, keras: float) -> Iterator[Target]:
    for peer, bound in (("stock Beam", beam), ("plain Keras", keras)):
        yield Target(f"{model}, {LARGE:,} images, pipeline: {peer}", bound, faster_than(peer, model=model))
    loops = faster_than(*(loop.name for loop in BOUNDS), model=model)
    yield Target(f"{model}, {LARGE:,} images, pipeline: the faster loop", 0.8, loops)
    for peer, bound in (("stock Beam", 3), ("plain Keras", 1)):
        command = faster_than(peer, model=model, images=MIDDLE, field="command_seconds")
        yield Target(f"{model}, {MIDDLE:,} images, whole command: {peer}", bound, command)
    sizes = f"{LARGE:,} / {MIDDLE:,} images"
    yield Target(f"{model}, time of {sizes}", 6.2, grows(model, _pipeline), at_most=True)
    peak = grows(model, lambda runs: runs.greatest("peak_bytes"))
    yield Target(f"{model}, memory of {sizes}", 1.1, peak, at_most=True)


TARGETS: Final = (
    *_scoring("dense-300-100", 8, 3.5),
    *_scoring("small-cnn", 6, 2.5),
    Target("two cores against one", 1.7, _two_cores),
    Target("emulator: stock Beam", 30, _bucket),
    Target("emulator: client's CPU an image", 150, _processor, unit="µs", at_most=True),
    Target("`digitmill --help`", 0.3, _started(images=0), unit="s", at_most=True),
    Target("`digitmill score` of 100 images", 5, _started(images=100), unit="s", at_most=True),
)


def table(results: Results) -> Table:
    """Returns every target beside its figure."""
    header = ("digitmill against", "wanted", "measured", "reached")
    return Table("Figures to reach", header, [target.row(results) for target in TARGETS])
