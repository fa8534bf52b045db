"""The figures to reach, and what was reached."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Final

from benchmarks.contenders import BOUNDS, SHIPPED
from benchmarks.results import Results
from benchmarks.tables import DIGITMILL, Table, processor_of_image, rate_from_bucket

LARGE: Final = 60_000
MIDDLE: Final = 10_000
_LOOPS: Final = tuple(loop.name for loop in BOUNDS)


@dataclasses.dataclass(frozen=True)
class Target:
    """A bound on a figure, and the figure.

    Attributes:
        what: for the table.
        bound: the figure is at least this, or at most.
        figure: from the runs; NaN where they do not hold it.
        unit: behind the number.
        at_most: which of both.
    """

    what: str
    bound: float
    figure: float
    unit: str = "×"
    at_most: bool = False

    def row(self) -> tuple[str, ...]:
        """Return what, bound, figure and whether it is reached."""
        wanted = f"{'≤' if self.at_most else '≥'} {self.bound:g} {self.unit}"
        if math.isnan(self.figure):
            return self.what, wanted, "not measured", ""
        reached = self.figure <= self.bound if self.at_most else self.figure >= self.bound
        return self.what, wanted, f"{self.figure:.3g} {self.unit}", "yes" if reached else "no"


def targets(results: Results) -> Iterator[Target]:
    """Yield every target with its figure."""
    for model, beam, keras in (("dense-300-100", 12, 3.5), (SHIPPED, 10, 4)):
        yield from _scoring(results.where(section="scoring", model=model), model, beam=beam, keras=keras)
    one, two = (results.where(section="cores", cores=cores) for cores in (1, 2))
    yield Target("two cores against one", 1.85, _pipeline(one) / _pipeline(two))
    ours, theirs = (results.where(section="buckets", contender=name) for name in (DIGITMILL, "stock Beam"))
    yield Target("emulator: stock Beam", 30, rate_from_bucket(ours) / rate_from_bucket(theirs))
    yield Target("emulator: client's CPU an image", 150, processor_of_image(ours), "µs", at_most=True)
    start = [results.where(section="start", images=images).median("command_seconds") for images in (0, 100)]
    yield Target("`digitmill --help`", 0.3, start[0], "s", at_most=True)
    yield Target("`digitmill score` of 100 images", 1.5, start[1], "s", at_most=True)


def _scoring(runs: Results, model: str, *, beam: float, keras: float) -> Iterator[Target]:
    large, middle = runs.where(images=LARGE), runs.where(images=MIDDLE)
    what = f"{model}, {LARGE:,} images, pipeline"
    for peer, bound in (("stock Beam", beam), ("plain Keras", keras)):
        yield Target(f"{what}: {peer}", bound, _ratio(large, peer))
    yield Target(f"{what}: the faster loop", 1.2, _ratio(large, *_LOOPS))
    for peer, bound in (("stock Beam", 4), ("plain Keras", 2)):
        ratio = _ratio(middle, peer, field="command_seconds")
        yield Target(f"{model}, {MIDDLE:,} images, whole command: {peer}", bound, ratio)
    more, less = (those.where(contender=DIGITMILL) for those in (large, middle))
    sizes = f"{LARGE:,} / {MIDDLE:,} images"
    yield Target(f"{model}, time of {sizes}", 6.2, _pipeline(more) / _pipeline(less), at_most=True)
    peak = more.greatest("peak_bytes") / less.greatest("peak_bytes")
    yield Target(f"{model}, memory of {sizes}", 1.1, peak, at_most=True)


def _ratio(runs: Results, *peers: str, field: str = "pipeline_seconds") -> float:
    """Return how many times as long as digitmill the fastest of some peers takes."""
    # A NaN first would win against every number.
    taken = [those.median(field) for peer in peers if (those := runs.where(contender=peer))]
    return min(taken, default=math.nan) / runs.where(contender=DIGITMILL).median(field)


def _pipeline(runs: Results) -> float:
    return runs.median("pipeline_seconds")


def table(results: Results) -> Table:
    """Return every target beside its figure."""
    header = ("digitmill against", "wanted", "measured", "reached")
    return Table("Figures to reach", header, [target.row() for target in targets(results)])
