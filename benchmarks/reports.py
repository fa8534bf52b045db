"""How long a report takes and how large its page is, by the number of images: it should not matter.

python -m benchmarks.reports: statistics as work items commit them, drawn at random, of 10,000, 60,000 and
10,000,000 images; processor seconds, in turns, median of three.
"""

import statistics as averages
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.setting import digits
from digitmill.default_model import SHIPPED_MODEL
from digitmill.storage.listed_image import ListedImage
from pipelines.output.finishing import make_manifest
from pipelines.output.reconcile import Reconciliation
from pipelines.report.scoring_report import Baselines, distributions_of, make_report_files
from pipelines.scoring.report_samples import ReportSamples
from pipelines.scoring.scored_batch import ScoredBatch, summarize
from pipelines.statistics.item_statistics import ItemStatistics, merge_statistics
from schemas.manifest import Status
from schemas.model import bundle
from schemas.model.model_card import ModelCard

ROWS = 4096
SIZES = (10_000, 60_000, 10_000_000)
TURNS = 3


def item(number: int, rows: int) -> ItemStatistics:
    """Statistics of a work item whose answers are drawn at random, about as a model gives them."""
    random = np.random.default_rng(number)
    pixels, labels = digits(rows)
    images = tuple(
        ListedImage(f"gs://bucket/{number % 300:03d}/{number}-{row}.png", 1, 300, int(label))
        for row, label in enumerate(labels)
    )
    probabilities = random.dirichlet(np.full(10, 0.02), rows).astype(np.float32)
    wrong = random.random(rows) < 0.01
    first = np.where(wrong, (labels + 1) % 10, labels).astype(np.int64)
    confidence = np.clip(np.maximum(probabilities.max(axis=1), 0.3), 0, 1)
    probabilities[:] = ((1 - confidence) / 9)[:, None]
    probabilities[np.arange(rows), first] = confidence
    samples = ReportSamples()
    samples.add(
        images,
        pixels,
        start=0,
        probabilities=probabilities,
        challenger_probabilities=np.full((rows, 10), np.nan, np.float32),
    )
    return summarize(
        f"{number:032d}",
        ScoredBatch(
            images=images,
            first=first,
            second=(first + 1) % 10,
            confidence=confidence,
            second_confidence=(1 - confidence) / 9,
            accepted=confidence >= 0.9,
            challenger=np.full(rows, -1),
            challenger_confidence=np.full(rows, np.nan, np.float32),
            failures=(),
            samples=samples,
        ),
        (),
    )


def items(images: int) -> Iterator[ItemStatistics]:
    """As many work items as a run has, of up to 65,536 images each; their content repeats."""
    made = [item(number, ROWS) for number in range(8)]
    count = -(-images // 65_536) if images > 10 * 65_536 else -(-images // ROWS)
    for number in range(count):
        yield made[number % len(made)]


def main() -> None:
    card = ModelCard.from_json((SHIPPED_MODEL / bundle.CARD).read_text(encoding="utf-8"))
    seconds: dict[int, list[float]] = {size: [] for size in SIZES}
    sizes: dict[int, int] = {}
    records = {size: [found.to_json() for found in items(size)] for size in SIZES}
    for _ in range(TURNS):
        for size in SIZES:
            began = time.process_time()
            statistics = merge_statistics(map(ItemStatistics.from_json, records[size]))
            made = make_manifest(
                Reconciliation(statistics, 0, (), ()),
                lambda _: Status.COMPLETE,
                inputs=("gs://bucket",),
                model={"path": "bundle", "digest": "0" * 64, "recipe": card.recipe},
                options={"accept_threshold": 0.9, "engine": "litert", "engine_reason": "drawn at random"},
                versions={},
                times={"started": "", "finished": "", "pipeline_seconds": 1.0, "images": size},
            )
            baselines = Baselines(card, distributions_of(statistics))
            *_, page = make_report_files(statistics, made, baselines=baselines)
            seconds[size].append(time.process_time() - began)
            sizes[size] = len(page.data)
    print(f"{'images':>12}  {'processor s: median (all)':<28}  {'page, bytes':>12}")
    for size in SIZES:
        spread = ", ".join(f"{second:.2f}" for second in seconds[size])
        print(
            f"{size:>12,}  {averages.median(seconds[size]):.2f} ({spread})".ljust(44), f"{sizes[size]:>12,}"
        )


if __name__ == "__main__":
    main()
