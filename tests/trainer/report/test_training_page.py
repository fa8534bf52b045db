"""The pages as people see them, in a browser."""

import dataclasses
import pathlib
import re

import pytest

from tests.browser import DESKTOP, PHONE, cut_off, serious_faults, walk_by_tab
from tests.trainer.report.test_record import MEMBER
from trainer.report import writing

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def page(folder_of) -> pathlib.Path:
    return folder_of() / "report.html"


@pytest.fixture(scope="module")
def comparison(folder_of, record_of, tmp_path_factory) -> pathlib.Path:
    other = record_of(wrong_each=20, options={"seed": 9})
    names = ("one", "two", f"{SCRIPT}{'long' * 20}")
    runs = [folder_of("one"), folder_of("two", record=other, seed=9), folder_of(names[2].replace("/", "⁄"))]
    return pathlib.Path(
        writing.compare([str(run) for run in runs], to=str(tmp_path_factory.mktemp("comparison")))
    )


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("dark", [False, True])
def test_a_report_is_accessible_and_as_wide_as_the_window(tabs, axe, page, width, dark) -> None:
    opened = tabs.open(page, width=width, dark=dark)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_faults(opened, axe) == []


def test_it_says_what_the_run_reached(tabs, page) -> None:
    opened = tabs.open(page)
    assert opened.inner_text("h1") == "cnn answers 89.32\xa0% of its test images right"
    assert opened.locator(".facts div").count() == 6
    headings = opened.locator("h2").all_inner_texts()
    assert headings == [
        "How good are the answers",
        "What is its confidence worth",
        "How it learned",
        "What to look at",
        "Data",
        "Formats",
        "Model card",
        "What ran",
    ]
    # Every section is linked, and every link leads to one.
    targets = opened.locator("nav a").evaluate_all("links => links.map(link => link.hash.slice(1))")
    assert targets == opened.locator("h2").evaluate_all("all => all.map(heading => heading.id)")
    card = opened.locator("#card ~ .charts").inner_text()
    assert "accept threshold" in card
    assert "Wrongly accepted at the threshold" in card
    assert "digitmill train --recipe cnn" in opened.inner_text("#ran ~ pre")


def test_the_slider_says_what_other_thresholds_accept(tabs, page, run_record) -> None:
    opened = tabs.open(page)
    explorer = opened.locator("#coverage")
    assert explorer.locator("[data-step='0']").inner_text() == "0.9"
    before = explorer.locator("[data-step='1']").inner_text()
    assert int(before) == run_record.answers["test"].at(0.9).accepted
    slider = explorer.locator("input")
    slider.focus()
    slider.press("Home")
    assert explorer.locator("[data-step='1']").inner_text() == "103"
    assert explorer.locator("[data-step='5']").inner_text() == "11"
    explorer.locator("button.back").click()
    assert explorer.locator("[data-step='1']").inner_text() == before


def test_digits_are_sorted_by_a_click(tabs, page) -> None:
    opened = tabs.open(page)
    table = opened.locator("table.sortable").first
    table.locator("th button", has_text="Recall").click()
    cells = table.locator("tbody tr td:nth-child(6)")
    recalls = [float(text.rstrip("\xa0 %")) for text in cells.all_inner_texts()]
    assert recalls == sorted(recalls, reverse=True)
    assert len(set(recalls)) > 1


def test_galleries_show_the_images(tabs, page, run_record) -> None:
    opened = tabs.open(page)
    pictures = opened.locator(".gallery img")
    kept = (run_record.mistaken, run_record.label_suspects, run_record.doubtful, run_record.sample)
    shown = sum(map(len, kept))
    assert pictures.count() == shown
    pictures.first.scroll_into_view_if_needed()
    assert pictures.first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 28
    assert opened.locator(".gallery .wrong .cross").count() == opened.locator(".gallery .wrong").count()
    assert opened.locator(".gallery .wrong").count() >= len(run_record.mistaken)


def test_names_are_shown_and_not_run(tabs, folder_of, record_of) -> None:
    named = {"recipe": SCRIPT, "data": f"folder:{SCRIPT}", "command": f"digitmill train --data '{SCRIPT}'"}
    member = dataclasses.replace(MEMBER, recipe=SCRIPT)
    record = dataclasses.replace(
        record_of(options={"data": SCRIPT}), members=(member,), finished=f"{SCRIPT}2026", learning_rates=()
    )
    folder = folder_of(SCRIPT.replace("/", "⁄"), record=record, **named)
    opened = tabs.open(folder / "report.html")
    text = opened.inner_text("body")
    assert f"{SCRIPT} answers" in text
    assert f"folder:{SCRIPT}" in text
    assert opened.locator("script").count() == 2
    assert opened.locator("a[href='members/seed-3/report.html']").count() == 1


@pytest.mark.slow
def test_a_page_has_no_word_of_a_failed_template(page, comparison) -> None:
    for made in (page, comparison):
        text = re.sub(r"<[^>]+>", " ", made.read_text(encoding="utf-8"))
        assert not re.search(r"\b(None|nan|Undefined|\{\{|\}\})\b", text)


@pytest.mark.slow
def test_a_report_is_small(page, comparison) -> None:
    assert page.stat().st_size < 500_000
    assert comparison.stat().st_size < 500_000


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("dark", [False, True])
def test_a_comparison_is_accessible_and_as_wide_as_the_window(tabs, axe, comparison, width, dark) -> None:
    opened = tabs.open(comparison, width=width, dark=dark)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_faults(opened, axe) == []


def test_a_comparison_says_what_differs(tabs, comparison) -> None:
    opened = tabs.open(comparison)
    assert opened.inner_text("h1") == "3 training runs compared"
    assert SCRIPT.replace("/", "⁄") in opened.inner_text("header")
    rows = opened.locator("#settings ~ .scroll").first.locator("tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [["seed", "1", "9", "1"]]
    assert opened.locator("#difference_b .better5").count() > 0
    assert opened.locator("#difference_c td[class]").count() == 0


def test_a_comparison_hides_no_column_on_a_desk_or_on_paper(tabs, comparison) -> None:
    opened = tabs.open(comparison)
    assert cut_off(opened) == []
    opened.emulate_media(media="print")
    opened.set_viewport_size({"width": 680, "height": 1000})
    assert cut_off(opened) == []


def test_training_pages_are_reached_by_keyboard(tabs, page, comparison) -> None:
    for made in (page, comparison):
        there, walked = walk_by_tab(tabs.open(made))
        assert walked == there
