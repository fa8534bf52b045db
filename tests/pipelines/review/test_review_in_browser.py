"""The review page as people use it."""

import base64
import csv
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from digitmill.imaging.decode import decode
from pipelines.review.review_fields import ReviewField
from schemas import labels
from schemas.manifest import Manifest
from tests.browser import DESKTOP, PATIENCE, PHONE, Tabs, serious_faults, walk_by_tab
from tests.pipelines.review.review_pages import make_row, page_of

expect.set_options(timeout=PATIENCE)

COUNT = 40
NASTY = "file:///in/%3Cscript%3Ealert%281%29%3C/script%3E.png"


@pytest.fixture
def write(tmp_path: pathlib.Path, manifest: Manifest, digits: np.ndarray) -> Callable[..., pathlib.Path]:
    """Write a page of so many rows."""

    def written(
        count: int = COUNT,
        *,
        rows: int = COUNT,
        name: str = "review.html",
        no_digits: Sequence[int] = (),
        **more: object,
    ) -> pathlib.Path:
        uris = [NASTY, *(f"gs://b/a,{number}.png" for number in range(1, rows))]
        on_page = [make_row(number, uri, count=rows) for number, uri in enumerate(uris)][:count]
        for place in no_digits:
            on_page[place] = on_page[place]._replace(reason="NOT_A_DIGIT")
        tiled = digits[np.arange(count) % len(digits)]
        path = tmp_path / name
        path.write_text(page_of(manifest, on_page, tiled, **more))
        return path

    return written


def ready(page: Page) -> Page:
    page.wait_for_selector("html[data-ready]", state="attached")
    return page


@pytest.fixture
def page(write: Callable[..., pathlib.Path], tabs: Tabs) -> Page:
    return ready(tabs.open(write()))


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def chosen(page: Page) -> int:
    """The place of the image that is chosen."""
    return int(page.locator('.tile[aria-selected="true"]').get_attribute("id").removeprefix("image-"))


def download(page: Page, folder: pathlib.Path) -> list[dict[str, str]]:
    with page.expect_download() as started:
        page.click("#download")
    assert started.value.suggested_filename == labels.FILE
    started.value.save_as(folder / labels.FILE)
    with (folder / labels.FILE).open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        rows = list(lines)
    assert tuple(lines.fieldnames or ()) == labels.COLUMNS
    return rows


def studio_tasks(page: Page, folder: pathlib.Path) -> list[dict[str, Any]]:
    """Download the tasks for Label Studio."""
    page.click("#others")
    with page.expect_download() as started:
        page.click("#studio")
    started.value.save_as(folder / "tasks.json")
    return json.loads((folder / "tasks.json").read_text())


def test_keys_label_images(page: Page, tmp_path: pathlib.Path) -> None:
    assert chosen(page) == 0
    # Row n is taken for n.
    press(page, "7", "Enter", "u", "ArrowRight", "0")
    assert chosen(page) == 5
    expect(page.locator("#counts")).to_have_text(f"4 of {COUNT} looked at, 1 unreadable")
    rows = download(page, tmp_path)
    assert [(row["path"], row["label"]) for row in rows] == [
        (NASTY, "7"),
        ("gs://b/a,1.png", "1"),
        ("gs://b/a,2.png", "unreadable"),
        ("gs://b/a,4.png", "0"),
    ]
    assert [row["sha256"] for row in rows] == [f"{place:064x}" for place in (0, 1, 2, 4)]
    assert rows[3]["generation"] == "1700000000000000004"
    assert (rows[3]["predicted"], rows[3]["confidence"], rows[3]["pixels"]) == ("4", "0.270000", "")


def test_backspace_undoes_one_after_the_other(page: Page, tmp_path: pathlib.Path) -> None:
    press(page, "1", "2", "3", "Home", "9", "Backspace")
    assert chosen(page) == 0
    press(page, "Backspace", "Backspace")
    assert chosen(page) == 1
    assert [row["label"] for row in download(page, tmp_path)] == ["1"]
    press(page, "Backspace", "Backspace", "Backspace")
    expect(page.locator("#counts")).to_have_text(f"0 of {COUNT} looked at")
    expect(page.locator("#download")).to_be_disabled()
    expect(page.locator("#live")).to_have_text("Nothing to undo.")


def test_arrows_and_clicks_choose(page: Page) -> None:
    columns = page.evaluate("Math.floor(document.getElementById('grid').clientWidth / 92)")
    assert columns > 5
    keys = ["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowUp", "ArrowLeft"]
    keys += ["End", "ArrowRight", "Home", "n"]
    places = []
    for key in keys:
        press(page, key)
        places.append(chosen(page))
    last = COUNT - 1
    assert places == [1, columns + 1, columns, 0, 0, 0, last, last, 0, 1]
    page.click("#image-7")
    assert chosen(page) == 7
    expect(page.locator("#said")).to_contain_text("Taken for 7 at")
    page.click('#pad button[data-label="3"]')
    page.click('#pad button[data-label="suggested"]')
    expect(page.locator("#image-7 .given")).to_have_text("3 ✓")
    expect(page.locator("#image-8 .given")).to_have_text("8 ✓")
    page.click('#pad button[data-label="undo"]')
    expect(page.locator("#image-8 .given")).to_have_text("8?")


def test_the_help_lists_all_keys_and_blocks_labeling(page: Page) -> None:
    press(page, "?")
    expect(page.locator("#help")).to_be_visible()
    press(page, "5", "Escape")
    expect(page.locator("#help")).to_be_hidden()
    expect(page.locator("#counts")).to_have_text(f"0 of {COUNT} looked at")
    press(page, "5")
    expect(page.locator("#image-0 .given")).to_have_text("5 ✓")


def test_labels_persist_across_pages(
    page: Page, write: Callable[..., pathlib.Path], tmp_path: pathlib.Path
) -> None:
    press(page, "1", "2", "u")
    page.reload()
    assert chosen(ready(page)) == 3
    expect(page.locator("#counts")).to_have_text(f"3 of {COUNT} looked at, 1 unreadable")
    # Made anew with fewer images, one of them gone by now; what is not shown is not forgotten.
    write(2, rows=COUNT, gone=[0])
    page.reload()
    ready(page)
    expect(page.locator("#counts")).to_have_text("1 of 1 looked at")
    assert [row["label"] for row in download(page, tmp_path)] == ["2"]
    write(COUNT)
    page.reload()
    ready(page)
    press(page, "Backspace")
    assert [row["label"] for row in download(page, tmp_path)] == ["1", "2"]


def test_each_run_has_labels_of_its_own(page: Page, write: Callable[..., pathlib.Path]) -> None:
    press(page, "1", "2")
    write(digest="e" * 64)
    page.reload()
    ready(page)
    expect(page.locator("#counts")).to_have_text(f"0 of {COUNT} looked at")


def test_the_page_works_without_local_storage(
    write: Callable[..., pathlib.Path], tabs: Tabs, tmp_path: pathlib.Path
) -> None:
    page = tabs.open(write(), java_script_enabled=True)
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no') }})"
    )
    page.reload()
    ready(page)
    expect(page.locator("#warning")).to_contain_text("download labels.csv before you leave")
    press(page, "1", "2")
    assert [row["label"] for row in download(page, tmp_path)] == ["1", "2"]


def test_filters_narrow_the_images_shown_and_labeled(page: Page) -> None:
    page.select_option("#digit", "3")
    expect(page.locator("#matching")).to_have_text("4 match")
    expect(page.locator(".tile")).to_have_count(4)
    press(page, "Enter")
    expect(page.locator("#image-3 .given")).to_have_text("3 ✓")
    assert chosen(page) == 13
    page.select_option("#digit", "")
    page.fill("#least", "50")
    page.fill("#most", "60")
    shown = [tile.get_attribute("id") for tile in page.locator(".tile").all()]
    # Row n of 40 has a confidence of 0.2 + 0.7 n / 40.
    assert shown == [f"image-{number}" for number in range(18, 23)]
    page.keyboard.press("Enter")
    press(page, "8")
    expect(page.locator("#image-18 .given")).to_have_text("8 ✓")
    page.fill("#least", "")
    page.fill("#most", "")
    page.select_option("#state", "done")
    assert page.locator(".tile").count() == 2
    page.select_option("#state", "open")
    expect(page.locator("#matching")).to_have_text(f"{COUNT - 2} match")
    page.select_option("#state", "unreadable")
    expect(page.locator("#nothing")).to_be_visible()
    press(page, "5", "Enter", "ArrowRight", "n")
    expect(page.locator("#counts")).to_have_text(f"2 of {COUNT} looked at")


def test_only_visible_images_are_drawn(
    write: Callable[..., pathlib.Path], tabs: Tabs, tmp_path: pathlib.Path
) -> None:
    count = 5_300  # two sprites
    page = ready(tabs.open(write(count, rows=count)))
    assert page.locator(".tile").count() < 250
    press(page, "End")
    assert chosen(page) == count - 1
    expect(page.locator(f"#image-{count - 1}")).to_be_in_viewport()
    assert page.locator(".tile").count() < 250
    press(page, "4")
    assert chosen(page) == 0
    (row,) = download(page, tmp_path)
    assert row["label"] == "4"


def test_digits_are_drawn_without_smoothing(
    write: Callable[..., pathlib.Path], tabs: Tabs, digits: np.ndarray
) -> None:
    page = ready(tabs.open(write(5_300, rows=5_300)))
    for key, place in (("Home", 0), ("End", 5_299)):
        press(page, key)
        drawn = page.evaluate("document.getElementById('large').toDataURL()").partition(",")[2]
        assert (decode(base64.b64decode(drawn))[..., 0] == digits[place % len(digits)]).all()


def test_the_original_is_shown_where_there_is_one(
    write: Callable[..., pathlib.Path], tabs: Tabs, page: Page
) -> None:
    expect(page.locator("#source")).to_be_hidden()
    original = cv2.imencode(".webp", np.full((40, 60, 3), 200, np.uint8))[1].tobytes()
    other = ready(tabs.open(write(name="other.html", original=original)))
    expect(other.locator("#source")).to_be_visible()
    assert other.evaluate("document.getElementById('original').naturalWidth") == 60


def test_names_are_shown_and_never_run(page: Page, tabs: Tabs) -> None:
    expect(page.locator("#name")).to_have_text("/in/<script>alert(1)</script>.png")
    assert page.evaluate("document.querySelectorAll('script').length") == 2
    # The policy holds: what is smuggled in later does not run either.
    page.evaluate(
        "(() => { const smuggled = document.createElement('script');"
        " try { smuggled.textContent = 'window.ran = 1' } catch {} document.body.append(smuggled) })()"
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in said or "TrustedScript" in said for said in tabs.complaints)
    tabs.complaints.clear()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [375, 1440])
def test_the_page_is_accessible_and_fits_the_screen(
    write: Callable[..., pathlib.Path], tabs: Tabs, axe: str, dark: bool, width: int
) -> None:
    page = ready(tabs.open(write(gone=[3]), dark=dark, width=width))
    press(page, "1", "u")
    assert serious_faults(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_tab_reaches_every_control_and_leaves_the_page(page: Page) -> None:
    press(page, "1")
    there, walked = walk_by_tab(page)
    assert walked == there
    words = [name.split(maxsplit=2)[1:] for name in walked]
    # Filters and files, then the grid as one stop, then the labels of the chosen image.
    assert [tag for tag, *_ in words[:5]] == ["select", "input", "input", "select", "input"]
    assert [text for _, *text in words[5:8]] == [["Keys ?"], ["Files"], ["Download labels.csv"]]
    assert words[8][0] == "div"
    assert [text for _, *text in words[9:12]] == [["0"], ["1"], ["2"]]


def test_dialogs_open_by_key_hold_the_focus_and_close_on_escape(page: Page) -> None:
    for button, dialog in (("#keys", "#help"), ("#others", "#files")):
        for key in ("Enter", " "):
            page.locator(button).focus()
            press(page, key)
            expect(page.locator(dialog)).to_be_visible()
            for _ in range(8):
                press(page, "Tab")
                # The browser's own controls come between the last one and the first, as the body.
                assert page.evaluate("document.activeElement.closest('dialog, body').localName") in (
                    "dialog",
                    "body",
                )
                assert not page.evaluate("document.activeElement.closest('main, header') !== null")
            press(page, "Escape")
            expect(page.locator(dialog)).to_be_hidden()
            expect(page.locator("#grid")).to_be_focused()


def test_buttons_label_by_enter_and_space(page: Page, tmp_path: pathlib.Path) -> None:
    for letter, key in (("7", "Enter"), ("x", " ")):
        page.locator(f"#pad [data-label='{letter}']").focus()
        press(page, key)
        assert page.evaluate("document.activeElement.id") == "grid"
    assert [row["label"] for row in download(page, tmp_path)] == ["7", "not_a_digit"]


def test_all_images_are_printed(write: Callable[..., pathlib.Path], tabs: Tabs) -> None:
    page = ready(tabs.open(write(600, rows=600)))
    assert page.locator(".tile").count() < 600
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    places = page.locator(".tile").evaluate_all("all => all.map(one => Number(one.id.split('-')[1]))")
    assert places == list(range(600))
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".tile").count() < 600


def test_a_page_without_images(write: Callable[..., pathlib.Path], tabs: Tabs) -> None:
    page = ready(tabs.open(write(0)))
    expect(page.locator("#nothing")).to_be_visible()
    press(page, "1", "Enter", "Backspace", "ArrowDown", "n")
    expect(page.locator("#download")).to_be_disabled()


def test_what_seems_no_digit_is_marked_found_and_accepted_as_such(
    write: Callable[..., pathlib.Path], tabs: Tabs, tmp_path: pathlib.Path
) -> None:
    page = ready(tabs.open(write(no_digits=[2, 5])))
    expect(page.locator("#image-2 .given")).to_have_text("no digit?")
    page.select_option("#digit", "none")
    expect(page.locator("#matching")).to_have_text("2 match")
    expect(page.locator("#said")).to_contain_text("Taken for no digit; if it is one, for 2 at")
    press(page, "Enter", "5")
    rows = download(page, tmp_path)
    assert [(row["path"], row["label"]) for row in rows] == [
        ("gs://b/a,2.png", "unreadable"),
        ("gs://b/a,5.png", "5"),
    ]


@pytest.fixture
def fields_page(
    tmp_path: pathlib.Path, manifest: Manifest, digits: np.ndarray, tabs: Tabs
) -> Callable[..., Page]:
    """A page of two fields of three digits, each with an accepted one, and of two images in none."""
    uris = [f"gs://b/{name}.png" for name in ("f/1", "x", "g/1", "g/3", "y", "f/2", "f/3", "g/2")]
    rows = [make_row(number, uri) for number, uri in enumerate(uris)]
    rows[5:] = [row._replace(member=True) for row in rows[5:]]
    fields = [
        ReviewField("form <b>f</b>", "0?6", "position 2 failed: EMPTY", ("gs://b/f/1.png", *uris[5:7])),
        ReviewField("form g", "273", "", (uris[2], uris[7], uris[3])),
    ]
    path = tmp_path / "fields.html"

    def opened(*, width: int = DESKTOP, dark: bool = False) -> Page:
        path.write_text(page_of(manifest, rows, digits[: len(rows)], fields=fields))
        return ready(tabs.open(path, width=width, dark=dark))

    return opened


def test_fields_are_labeled_digit_by_digit(fields_page: Callable[..., Page], tmp_path: pathlib.Path) -> None:
    page = fields_page()
    expect(page.locator(".head")).to_have_count(2)
    expect(page.locator(".head").first).to_contain_text("form <b>f</b>")
    expect(page.locator("#field")).to_have_text("Field form <b>f</b>: 0?6; position 2 failed: EMPTY")
    expect(page.locator("#counts")).to_have_text("0 of 8 looked at; 0 of 2 fields")
    # The three digits of the first field come first, then what is in no field.
    press(page, "7", "8", "9")
    expect(page.locator("#counts")).to_have_text("3 of 8 looked at; 1 of 2 fields")
    expect(page.locator(".head").first).to_contain_text("labeled")
    assert [(row["path"], row["label"]) for row in download(page, tmp_path)] == [
        ("gs://b/f/1.png", "7"),
        ("gs://b/f/2.png", "8"),
        ("gs://b/f/3.png", "9"),
    ]
    # Kept in the browser, for the digits that have no number, too.
    page.reload()
    expect(ready(page).locator("#counts")).to_have_text("3 of 8 looked at; 1 of 2 fields")
    press(page, "Backspace")
    expect(page.locator("#counts")).to_have_text("2 of 8 looked at; 0 of 2 fields")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_a_page_of_fields_is_accessible(
    fields_page: Callable[..., Page], axe: str, width: int, dark: bool
) -> None:
    page = fields_page(width=width, dark=dark)
    press(page, "1", "x", "t")
    assert serious_faults(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_digits_of_fields_have_words_and_a_reviewer_too(
    fields_page: Callable[..., Page], tmp_path: pathlib.Path
) -> None:
    page = fields_page()
    press(page, "x", "t", "u")
    expect(page.locator(".head").first).to_contain_text("labeled")
    rename(page, "Ann")
    expect(page.locator("#counts")).to_contain_text("3 of 8 looked at")
    rename(page, "Bo")
    expect(page.locator("#counts")).to_have_text("0 of 8 looked at; 0 of 2 fields")
    expect(page.locator(".head").first).to_contain_text("0 of 3")
    press(page, "Home", "7", "8")
    press(page, "Backspace")
    rename(page, "Ann")
    found = [(row["label"], row["reviewer"]) for row in download(page, tmp_path)]
    assert found == [("not_a_digit", "Ann"), ("two_digits", "Ann"), ("unreadable", "Ann")]
    press(page, "Backspace")
    expect(page.locator("#counts")).to_contain_text("2 of 8 looked at")
    rename(page, "Bo")
    assert [row["label"] for row in download(page, tmp_path)] == ["7"]
    page.set_input_files("#theirs", tmp_path / labels.FILE)
    expect(page.locator("#agreement")).to_contain_text("agree on 1, 100.0 %")


def test_undo_reaches_digits_that_a_page_made_anew_does_not_show(
    fields_page: Callable[..., Page], write: Callable[..., pathlib.Path]
) -> None:
    page = fields_page()
    press(page, "7", "8")
    with_fields = pathlib.Path(page.url.removeprefix("file://"))
    whole = with_fields.read_text()
    with_fields.write_text(write(2, rows=100).read_text())
    page.reload()
    ready(page)
    press(page, "Backspace")
    with_fields.write_text(whole)
    page.reload()
    expect(ready(page).locator("#counts")).to_have_text("1 of 8 looked at; 0 of 2 fields")


def test_arrows_go_from_field_to_field(fields_page: Callable[..., Page]) -> None:
    page = fields_page()
    at = page.locator('.tile[aria-selected="true"]')
    tops = []
    for _ in range(3):
        tops.append(at.bounding_box()["y"])
        press(page, "ArrowDown")
    assert tops == sorted(set(tops))
    expect(at).to_have_attribute("id", "image-4")
    press(page, "Home")
    expect(at).to_have_attribute("id", "member-0")


def test_there_are_words_for_what_is_no_single_digit(page: Page, tmp_path: pathlib.Path) -> None:
    press(page, "x", "t", "u", "4")
    expect(page.locator("#counts")).to_have_text(
        f"4 of {COUNT} looked at, 1 two digits, 1 unreadable, 1 not a digit"
    )
    found = [row["label"] for row in download(page, tmp_path)]
    assert found == ["not_a_digit", "two_digits", "unreadable", "4"]
    assert [labels.class_of(label) for label in found] == [labels.NOT_A_DIGIT] * 3 + [4]
    page.select_option("#state", "unreadable")
    expect(page.locator("#matching")).to_have_text("3 match")


def rename(page: Page, name: str) -> None:
    page.fill("#reviewer", name)
    press(page, "Enter")


def test_each_reviewer_has_labels_of_their_own(page: Page, tmp_path: pathlib.Path) -> None:
    press(page, "1", "2")
    rename(page, "Ann")
    expect(page.locator("#counts")).to_have_text(f"2 of {COUNT} looked at")
    rename(page, "Bo")
    expect(page.locator("#counts")).to_have_text(f"0 of {COUNT} looked at")
    press(page, "Home", "1")
    page.reload()
    ready(page)
    expect(page.locator("#reviewer")).to_have_value("Bo")
    assert [row["reviewer"] for row in download(page, tmp_path)] == ["Bo"]
    rename(page, "Ann")
    assert [row["label"] for row in download(page, tmp_path)] == ["1", "2"]


def test_two_reviewers_are_compared(page: Page, tmp_path: pathlib.Path) -> None:
    rename(page, "Ann")
    press(page, "Home", "1", "2", "3", "x")
    download(page, tmp_path)
    rename(page, "Bo")
    press(page, "Home", "1", "2")
    page.set_input_files("#theirs", tmp_path / labels.FILE)
    expect(page.locator("#agreement")).to_contain_text("agree on 2, 100.0 %")
    assert chosen(page) == 2
    expect(page.locator("#other")).to_be_hidden()  # not before there is a label of one's own
    press(page, "5", "x")
    expect(page.locator("#agreement")).to_contain_text(
        "You and Ann have both labeled 4 images and agree on 3, 75.0 %; "
        "Cohen\N{RIGHT SINGLE QUOTATION MARK}s kappa 0.69"
    )
    page.select_option("#state", "differ")
    expect(page.locator("#matching")).to_have_text("1 match")
    expect(page.locator("#other")).to_have_text("Ann: labeled 3, you: labeled 5")


def test_label_studio_gives_back_what_it_was_given(page: Page, tmp_path: pathlib.Path) -> None:
    press(page, "7", "t")
    tasks = studio_tasks(page, tmp_path)
    assert len(tasks) == COUNT
    first, second, third = tasks[:3]
    choices = first["annotations"][0]["result"][0]
    assert (choices["type"], choices["value"]) == ("choices", {"choices": ["7"]})
    assert second["annotations"][0]["result"][0]["value"] == {"choices": ["two_digits"]}
    assert third["annotations"] == []
    assert third["predictions"][0]["result"][0]["value"] == {"choices": ["2"]}
    picture = first["data"]["image"].removeprefix("data:image/png;base64,")
    assert decode(base64.b64decode(picture)).shape[:2] == (28, 28)
    # As Label Studio exports it: annotations have who made them, and what one skipped was cancelled.
    first["annotations"][0]["result"][0]["value"] = {"choices": ["9"]}
    first["annotations"].insert(0, {"was_cancelled": True, "result": []})
    third["annotations"] = [{"completed_by": {"email": "bo@example.com"}, "result": [choices]}]
    tasks[3]["annotations"] = [{"result": [{**choices, "value": {"choices": ["a cat"]}}]}]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    page.set_input_files("#mine", tmp_path / "export.json")
    expect(page.locator("#agreement")).to_contain_text(f"3 of its {COUNT} labels")
    press(page, "Escape")
    assert [row["label"] for row in download(page, tmp_path)] == ["9", "two_digits", "9"]
    press(page, "Backspace", "Backspace")
    assert [row["label"] for row in download(page, tmp_path)] == ["7", "two_digits"]


def test_tasks_of_a_blind_page_do_not_say_how_sure_the_model_was(
    write: Callable[..., pathlib.Path], tabs: Tabs, tmp_path: pathlib.Path
) -> None:
    tasks = studio_tasks(ready(tabs.open(write(blind=True))), tmp_path)
    assert len(tasks) == COUNT
    for task in tasks:
        assert "confidence" not in task["data"]
        assert "score" not in task["predictions"][0]


def test_a_file_without_labels_is_refused(page: Page, tmp_path: pathlib.Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    page.click("#others")
    page.set_input_files("#mine", tmp_path / "other.csv")
    expect(page.locator("#agreement")).to_have_text("other.csv holds no labels: no columns path and label")
