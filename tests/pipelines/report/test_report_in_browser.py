"""A run's page as people see it: a real run, opened in a real browser."""

import dataclasses
import pathlib
from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from pipelines.score import score_job
from pipelines.score_options import ScoreOptions
from tests.browser import DESKTOP, PHONE, Tabs, cut_off, serious_faults, walk_by_tab
from tests.digit_folders import write_digits


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory,
    bundle_path: pathlib.Path,
    rival_path: pathlib.Path,
    digits: object,
    labels: object,
    png_of: Callable,
) -> pathlib.Path:
    """The page of a run with labels, failures, a challenger, and names that would run if they could."""
    folder = write_digits(tmp_path_factory.mktemp("shown"), digits[:300], labels[:300], png_of)
    (folder / "<script>alert(1)<∕script>.png").write_bytes(b"no image")
    (folder / "<img src=x onerror=alert(2)>.png").write_bytes(png_of(digits[0]))
    (folder / "1" / "cut.png").write_bytes(png_of(digits[0])[:-30])
    (folder / "1" / "blank.png").write_bytes(png_of(digits[0] * 0))
    output = folder.parent / f"{folder.name}-scores"
    truth = folder.parent / f"{folder.name}.csv"
    rows = [f"{path},{path.parent.name}" for path in sorted(folder.glob("[0-9]/*.png"))]
    truth.write_text("\n".join(["path,label", *rows]))
    options = ScoreOptions(
        inputs=(str(folder),),
        model=bundle_path,
        challenger=rival_path,
        output=str(output),
        labels=str(truth),
        price_per_hour=1.5,
        beam_flags=("--runner=FnApiRunner",),
    )
    assert score_job.run(options).manifest.counts.failed == 3
    return output / "report.html"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_it_fits_its_window_and_has_no_serious_fault(
    report: pathlib.Path, tabs: Tabs, axe: str, width: int, dark: bool
) -> None:
    page = tabs.open(report, width=width, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") != dark
    assert len(page.screenshot(full_page=True)) > 50_000
    assert serious_faults(page, axe) == []


def test_names_are_shown_and_not_run(report: pathlib.Path, tabs: Tabs) -> None:
    page = tabs.open(report)
    assert "<script>alert(1)<∕script>.png" in page.inner_text("#failures ~ section")
    # What ran would have said so, which fails the test; and it would be in the document.
    assert page.locator("script").count() == 2
    assert page.locator("img[onerror]").count() == 0


def test_what_a_page_must_not_run_it_does_not(
    report: pathlib.Path, tabs: Tabs, tmp_path: pathlib.Path
) -> None:
    """The policy holds by itself, should anything get past the escaping."""
    broken = tmp_path / "broken.html"
    foreign = "<script>document.title = 'taken over'</script><img src='https://example.com/x.png' alt=''>"
    broken.write_text(report.read_text().replace("</header>", f"</header>{foreign}"))
    page = tabs.open(broken)
    assert page.title().endswith(": scoring report")
    refused = [labels_shown for labels_shown in tabs.complaints if "Content Security Policy" in labels_shown]
    assert len(refused) == len(tabs.complaints) == 2
    tabs.complaints.clear()


def column(page: Page, number: int) -> list[float]:
    cells = page.locator(f"section:has(h3:text-is('Digits')) tbody td:nth-child({number})")
    return [float(value) for value in cells.evaluate_all("cells => cells.map(cell => cell.dataset.value)")]


def test_a_click_on_a_heading_sorts_and_another_one_reverses(report: pathlib.Path, tabs: Tabs) -> None:
    page = tabs.open(report)
    heading = page.locator("section:has(h3:text-is('Digits')) th:has(button)").nth(1)
    before = column(page, 2)
    assert heading.get_attribute("aria-sort") == "none"
    heading.get_by_role("button").click()
    assert (column(page, 2), heading.get_attribute("aria-sort")) == (
        sorted(before, reverse=True),
        "descending",
    )
    heading.get_by_role("button").click()
    assert column(page, 2) == sorted(before)
    assert heading.get_attribute("aria-sort") == "ascending"


def test_folders_sort_by_their_words(report: pathlib.Path, tabs: Tabs) -> None:
    page = tabs.open(report)
    table = page.locator("#folders ~ .scroll table").first
    table.get_by_role("button", name="Folder").click()
    names = table.locator("tbody th").all_inner_texts()
    assert len(names) > 5
    assert names == sorted(names)


def test_the_slider_says_what_another_threshold_would_mean(report: pathlib.Path, tabs: Tabs) -> None:
    page = tabs.open(report)
    slider, labels_shown = page.locator("#coverage-slider"), page.locator("#coverage [data-step]")
    mark = page.locator("#coverage-marker")
    before, place = labels_shown.all_inner_texts(), mark.bounding_box()
    slider.focus()
    page.keyboard.press("End")
    after = labels_shown.all_inner_texts()
    strictness = [float(words[0]) for words in (before, after)]
    accepted = [int(words[1].replace(",", "")) for words in (before, after)]
    for_review = [int(words[3].replace(",", "")) for words in (before, after)]
    assert strictness[0] < strictness[1]
    assert accepted[0] > accepted[1]
    assert sum(accepted) + sum(for_review) == 2 * (accepted[0] + for_review[0])
    assert mark.bounding_box()["x"] < place["x"]
    assert after[0] in slider.get_attribute("aria-valuetext")
    page.keyboard.press("Home")
    assert labels_shown.all_inner_texts()[3] == "0"
    page.locator("#coverage .back").click()
    assert labels_shown.all_inner_texts() == before


def test_every_picture_is_there(report: pathlib.Path, tabs: Tabs) -> None:
    page = tabs.open(report)
    sizes = page.locator("img").evaluate_all("pictures => pictures.map(picture => picture.naturalWidth)")
    assert len(sizes) > 60
    assert min(sizes) > 0


def test_it_prints_without_what_cannot_be_used_on_paper(report: pathlib.Path, tabs: Tabs) -> None:
    page = tabs.open(report, dark=True)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for hidden in ("nav", "details", "#coverage-slider"):
        assert not page.locator(hidden).first.is_visible()
    assert page.locator("#coverage svg").is_visible()
    # An A4 page between its margins, in pixels.
    page.set_viewport_size({"width": 680, "height": 1000})
    assert cut_off(page) == []


def test_tab_reaches_every_control_in_order_with_a_visible_focus(report: pathlib.Path, tabs: Tabs) -> None:
    there, walked = walk_by_tab(tabs.open(report))
    assert len(there) > 60
    assert walked == there


def test_keys_do_what_clicks_do(report: pathlib.Path, tabs: Tabs) -> None:
    page = tabs.open(report)
    heading = page.locator("section:has(h3:text-is('Digits')) th:has(button)").nth(1)
    for key, order in (("Enter", "descending"), (" ", "ascending")):
        heading.get_by_role("button").focus()
        page.keyboard.press(key)
        assert heading.get_attribute("aria-sort") == order
    numbers = page.locator("details").first
    for key, is_open in (("Enter", True), (" ", False)):
        numbers.locator("summary").focus()
        page.keyboard.press(key)
        assert numbers.evaluate("one => one.open") == is_open
    # A cell of the matrix leads to its images, and from there Tab goes on; the way back is a link.
    cell = page.locator("#confusion .matrix a").first
    cell.focus()
    page.keyboard.press("Enter")
    images = page.locator("#confusion .cells > section:target")
    images.wait_for()
    assert images.evaluate("one => one === document.activeElement")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Back to the matrix"


@pytest.fixture(scope="module", params=["fields", "nothing new", "one image"])
def other_report(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    bundle_path: pathlib.Path,
    digits: object,
    png_of: Callable,
) -> pathlib.Path:
    """The page of a run that has little in common with the first: whose digits make fields, and so on."""
    root = tmp_path_factory.mktemp("other")
    form = root / "in" / "branch-7" / "form-2026-11-0001" / "amount-in-words-and-figures"
    form.mkdir(parents=True)
    for number in range(1 if request.param == "one image" else 6):
        (form / f"{number + number // 4:02}.png").write_bytes(png_of(digits[number]))
    more: dict[str, object] = {}
    if request.param == "fields":
        more["field"] = r"(?P<field>.+)/(?P<position>\d+)\.png"
    options = ScoreOptions(inputs=(str(root / "in"),), model=bundle_path, output=str(root / "first"), **more)
    score_job.run(options)
    if request.param != "nothing new":
        return root / "first" / "report.html"
    score_job.run(dataclasses.replace(options, since=str(root / "first"), output=str(root / "second")))
    return root / "second" / "report.html"


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_other_runs_have_pages_without_faults_too(
    other_report: pathlib.Path, tabs: Tabs, axe: str, width: int
) -> None:
    page = tabs.open(other_report, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_faults(page, axe) == []
    assert "Fields for review" not in cut_off(page)
    there, walked = walk_by_tab(page)
    assert walked == there
