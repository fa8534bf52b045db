import dataclasses
import html.parser

import pytest

from digitmill.default_model import SHIPPED_MODEL
from pipelines.report.drift import Distributions
from pipelines.report.scoring_page import known_by_source, model_name, run_title
from pipelines.report.scoring_report import Baselines, RunReport
from pipelines.statistics.agreement import Disagreement
from pipelines.statistics.item_statistics import CONFIDENCE_BINS, RunStatistics, merge_statistics
from pipelines.statistics.kept_images import KeptImage
from pipelines.statistics.tallies import Tally
from pipelines.statistics.thresholds import ConfidenceCounts
from schemas.manifest import Manifest
from schemas.model.model_card import ModelCard

VOID = {"meta", "br", "img", "link", "input", "hr"}


def render_page(statistics: RunStatistics, manifest: Manifest, *, baselines: Baselines | None = None) -> str:
    *_, page = RunReport.of(statistics, baselines or Baselines()).files(manifest)
    return page.data.decode()


class Outline(html.parser.HTMLParser):
    """Tags, attributes and text of a page; fails on tags that do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_counts_accuracy_and_failures(statistics: RunStatistics, manifest: Manifest) -> None:
    text = " ".join(Outline(render_page(statistics, manifest)).text.split())
    for fact in (
        "in, 1 January 2026",
        "62 images · model",
        "84.75 %",
        "62 listed = 60 scored + 2 failed + 0 skipped",
        "EMPTY",
    ):
        assert fact in text


def test_names_are_escaped(statistics: RunStatistics, manifest: Manifest) -> None:
    page = render_page(statistics, manifest)
    outline = Outline(page)
    assert "/in/b/<x>.png" in outline.text
    assert "<x>" not in page
    assert any(attributes.get("alt") == "/in/a/<b>.png, taken for 1" for _, attributes in outline.tags)
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)


def test_the_page_loads_nothing_external(statistics: RunStatistics, manifest: Manifest) -> None:
    outline = Outline(render_page(statistics, manifest))
    for tag, attributes in outline.tags:
        for name in ("src", "href", "xlink:href"):
            # Links are followed by people; what the page itself loads is inside of it.
            if tag != "a":
                assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    policies = [a["content"] for tag, a in outline.tags if a.get("http-equiv") == "Content-Security-Policy"]
    (policy,) = policies
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    # What the policy would bar anyway.
    assert not any("style" in attributes for _, attributes in outline.tags)


def test_every_picture_has_a_text_alternative(statistics: RunStatistics, manifest: Manifest) -> None:
    for tag, attributes in Outline(render_page(statistics, manifest)).tags:
        assert tag != "img" or attributes["alt"]


def test_a_run_where_all_failed_has_a_page(statistics: RunStatistics, manifest: Manifest) -> None:
    statistics = dataclasses.replace(
        statistics,
        scored=0,
        accepted=0,
        tallies=(),
        confidences=(0,) * CONFIDENCE_BINS,
        confusion=((0,) * 10,) * 10,
        doubtful=(),
        mistaken=(),
        examples=(),
        thresholds=ConfidenceCounts(),
        accepted_labeled=0,
        accepted_right=0,
    )
    counts = dataclasses.replace(manifest.counts, listed=2, scored=0)
    manifest = dataclasses.replace(manifest, counts=counts, labeled=0, right=0, accepted=0)
    assert "2 listed = 0 scored + 2 failed" in Outline(render_page(statistics, manifest)).text


def test_the_challenger_and_its_disagreements_are_shown(
    statistics: RunStatistics, manifest: Manifest
) -> None:
    challenged = dataclasses.replace(
        manifest, challenger={"recipe": "rival", "digest": "e" * 64}, agreed=57, challenger_right=55
    )
    image = Disagreement("file:///in/a/%3Cb%3E.png", 1, 0.97, 7, 0.95, 7, "iVBORw0KGgo=")
    page = render_page(dataclasses.replace(statistics, disagreements=(image,)), challenged)
    text = " ".join(Outline(page).text.split())
    assert "gave the same digit to 57 of 60 images" in text
    assert "97.0 % against 95.0 %" in text
    assert "taken for 1, by the challenger for 7" in page
    assert "Challenger" not in render_page(statistics, manifest)


def test_the_engine_is_shown(statistics: RunStatistics, manifest: Manifest) -> None:
    assert "litert: there is no GPU" in Outline(render_page(statistics, manifest)).text


def test_options_are_written_as_people_write_them(statistics: RunStatistics, manifest: Manifest) -> None:
    options = {**manifest.options, "retry_failures": False, "pages": "all", "rows_per_part": 65_536}
    text = Outline(render_page(statistics, dataclasses.replace(manifest, options=options))).text
    for words in ("retry failures no", "pages all", "rows per part 65,536"):
        assert words in text


def test_a_run_with_an_audit_says_how_to_answer_it(statistics: RunStatistics, manifest: Manifest) -> None:
    audited = dataclasses.replace(manifest, options={**manifest.options, "audit": 1_200})
    assert "up to 1,200 accepted images, drawn at random" in Outline(render_page(statistics, audited)).text
    assert "accepted images, drawn" not in Outline(render_page(statistics, manifest)).text


def test_drift_from_the_training_set_and_the_previous_run_is_shown(
    statistics: RunStatistics, manifest: Manifest, card: ModelCard
) -> None:
    counts = (0, 500, 100, 0, 0, 0, 0, 0, 0, 0)
    before = Distributions(600, counts, (*(0,) * 19, 600), (600 * 784, *(0,) * 19))
    text = " ".join(
        Outline(render_page(statistics, manifest, baselines=Baselines(card, before))).text.split()
    )
    assert "the training set" in text
    assert "the previous run" in text
    assert f"test accuracy {card.test_accuracy}" in text
    assert "What changed" not in render_page(statistics, manifest)


@pytest.mark.parametrize(("price", "text"), [(3600.0, "1,000.00 a million images"), (None, "")])
def test_a_price_gives_an_estimated_cost(
    statistics: RunStatistics, manifest: Manifest, price: float | None, text: str
) -> None:
    times = dict(manifest.times) | {"finished": "2026-01-01T00:00:01+00:00", "images": 1000}
    priced = dataclasses.replace(manifest, times=times, options={**manifest.options, "price_per_hour": price})
    page = render_page(statistics, priced)
    assert ("Estimated cost" in page) == (price is not None)
    assert text in page


def test_the_folder_table_is_bounded(statistics: RunStatistics, manifest: Manifest) -> None:
    tallies = tuple(Tally(f"file:///in/{number:05d}", 1, 1, 0.9) for number in range(1234))
    page = render_page(dataclasses.replace(statistics, tallies=tallies), manifest)
    # The two folders of the failures come on top, and both failures have a row of their own.
    assert page.count('<th scope="row" class="words"><a href="file:///in/') == 200 + len(statistics.failures)
    assert "200 of 1,236 folders; 1,036 more are in reports/summary.csv." in page


def test_its_commands_are_shown(statistics: RunStatistics, manifest: Manifest) -> None:
    command = "digitmill score --input 'a b' --output o"
    page = render_page(statistics, dataclasses.replace(manifest, command=command))
    assert "digitmill score --input &#39;a b&#39; --output o-again</code>" in page
    assert "Again" not in render_page(statistics, dataclasses.replace(manifest, command=""))


def test_a_run_with_nothing_new_says_so(statistics: RunStatistics, manifest: Manifest) -> None:
    nothing = merge_statistics([])
    counts = dataclasses.replace(manifest.counts, listed=62, scored=0, failed=0, skipped=62)
    none = dict.fromkeys(manifest.failures, 0)
    manifest = dataclasses.replace(
        manifest,
        counts=counts,
        failures=none,
        labeled=0,
        right=0,
        accepted=0,
        times=manifest.times | {"images": 0},
    )
    page = render_page(nothing, manifest)
    text = " ".join(Outline(page).text.split())
    assert "Nothing new: all 62 images were in an earlier run" in text
    assert "How good are the answers" not in text
    assert "images/s" not in text
    assert "<figure" not in page


@pytest.mark.parametrize(
    ("inputs", "folder", "name"),
    [
        (("in",), "", "in"),
        (("gs://bucket/nights/7/",), "", "7"),
        (("/data/scans/*.png",), "", "scans"),
        ((".",), "/data/today", "today"),
        (("a", "b"), "", "a and 1 more"),
    ],
)
def test_its_title_is_the_input_and_the_date(
    manifest: Manifest, inputs: tuple[str, ...], folder: str, name: str
) -> None:
    launched = {"folder": folder, "output": "/out"}
    found = run_title(dataclasses.replace(manifest, inputs=inputs, launched=launched))
    assert found == f"{name}, 1 January 2026"


@pytest.mark.parametrize(
    ("path", "name"),
    [("runs/cheques/bundle", "cheques"), ("mine", "mine"), (str(SHIPPED_MODEL), ""), ("./bundle", "")],
)
def test_a_model_is_called_by_its_folder(path: str, name: str) -> None:
    assert model_name(path) == name


def test_what_the_model_is_good_at_stands_beside_the_run(
    statistics: RunStatistics, manifest: Manifest, card: ModelCard
) -> None:
    header, mine, *sources = known_by_source(manifest, card)
    assert mine[:4] == ("this run", "60", "84.75\N{NO-BREAK SPACE}%", "83.33\N{NO-BREAK SPACE}%")
    assert len(header) == len(mine) == len(sources[0])
    assert sources[0][0] == "MNIST"
    assert "this run" in render_page(statistics, manifest, baselines=Baselines(card))
    assert "this run" not in render_page(statistics, manifest)


def test_pictures_lead_to_their_images(statistics: RunStatistics, manifest: Manifest) -> None:
    bucket = KeptImage(0.3, "gs://b/x y.png", 1, 7, -1, "iVBORw0KGgo=")
    seen = dataclasses.replace(statistics, doubtful=(*statistics.doubtful, bucket))
    launched = {"folder": "/work", "output": "/out/1"}
    outline = Outline(render_page(seen, dataclasses.replace(manifest, launched=launched)))
    links = {attributes.get("href") for tag, attributes in outline.tags if tag == "a"}
    assert {"../../in/a/%3Cb%3E.png", "../../in/b/%3Cx%3E.png", "../../in/c/y.png"} <= links
    copied = [attributes["data-copy"] for _, attributes in outline.tags if "data-copy" in attributes]
    assert "gs://b/x y.png" in copied


def test_cells_of_the_confusion_matrix_lead_to_images(statistics: RunStatistics, manifest: Manifest) -> None:
    outline = Outline(render_page(statistics, manifest))
    links = [a["href"] for tag, a in outline.tags if tag == "a" and a["href"].startswith("#confusion-")]
    ids = {a["id"] for _, a in outline.tags if "id" in a}
    # 7 taken for 1 is kept, too, but the matrix counts none.
    assert links == ["#confusion-1-1"]
    assert "confusion-1-1" in ids


def test_images_that_seem_no_digit_are_counted(statistics: RunStatistics, manifest: Manifest) -> None:
    found = Outline(render_page(statistics, dataclasses.replace(manifest, not_digits=4)))
    assert "10, confidence below 0.9; 4 of them no digit" in " ".join(found.text.split())
    assert "no digit" not in Outline(render_page(statistics, manifest)).text
