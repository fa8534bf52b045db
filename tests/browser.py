"""A headless Chromium for the tests of pages: it fails a test on what a page must not do."""

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.gcs_emulator import TOOLS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

# Without GPU and network services of its own; containers give it no sandbox and little shared memory.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE, DESKTOP = 375, 1440
PATIENCE = 120_000
"""Milliseconds that anything may take: other tests are at work on the same processors."""


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """The browser; without it the tests that need it are skipped.

    A module's, no session's: while Playwright is open, no other test can start an event loop.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is missing: run `make tools` as root, or install it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS), timeout=PATIENCE)
        yield browser
        browser.close()


@dataclasses.dataclass
class Tabs:
    """Opens pages, and remembers what went wrong in them.

    Attributes:
        complaints: errors and warnings on the console, uncaught exceptions, and requests that would
            leave the page; the test fails on any that it has not taken out.
    """

    browser: "Browser"
    complaints: list[str] = dataclasses.field(default_factory=list)
    _contexts: list["BrowserContext"] = dataclasses.field(default_factory=list)

    def open(
        self, place: pathlib.Path | str, *, width: int = DESKTOP, dark: bool = False, **more: Any
    ) -> "Page":
        """Open a file, or a page of a server, and wait until it is loaded.

        Args:
            place: path of the file, or an URL; only what has the URL's origin may be asked for.
            width: of the window, pixels.
            dark: whether the reader has asked for dark pages.
            more: for Playwright's `new_context`.
        """
        url = place.absolute().as_uri() if isinstance(place, pathlib.Path) else place
        home = () if url.startswith("file:") else ("/".join(url.split("/")[:3]) + "/",)
        scheme = "dark" if dark else "light"
        context = self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce", **more
        )
        context.set_default_timeout(PATIENCE)
        self._contexts.append(context)

        def pass_on(route: "Route") -> None:
            if route.request.url == url or route.request.url.startswith((*home, "data:", "blob:")):
                route.continue_()
            else:
                self.complaints.append(f"asked for {route.request.url}")
                route.abort()

        context.route("**/*", pass_on)
        page = context.new_page()
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("dialog", lambda dialog: (self.complaints.append(f"said {dialog.message}"), dialog.dismiss()))
        page.goto(url, wait_until="load")
        return page

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def tabs(chromium: "Browser") -> Iterator[Tabs]:
    """Pages of the test's own; the test fails when one complained, or asked for anything from elsewhere."""
    opened = Tabs(chromium)
    yield opened
    opened.close()
    assert opened.complaints == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core; without it the tests that need it are skipped."""
    places = [str(TOOLS / "node_modules"), *os.environ.get("NODE_PATH", "").split(os.pathsep)]
    for place in filter(None, places):
        source = pathlib.Path(place) / "axe-core" / "axe.min.js"
        if source.exists():
            return source.read_text(encoding="utf-8")
    pytest.skip("axe-core is missing: install npm and run `make tools`")


def serious_faults(page: "Page", axe: str) -> list[str]:
    """Return what axe-core finds serious or critical about a page: the rule, and where it is broken."""
    # By the debugger: the page's own policy lets no foreign script in.
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


CONTROLS = "a[href], button:not(:disabled), input, select, summary, [tabindex='0']"


def walk_by_tab(page: "Page") -> tuple[list[str], list[str]]:
    """Press Tab from the page's beginning until the focus leaves it.

    Returns:
        The controls that can be seen, in the order of the document, and those that had the focus, in
        theirs, each with its number in the document, its tag and its first words; of those whose focus
        cannot be seen, these end with "unseen".
    """
    seen = page.evaluate(
        """(controls) => [...document.querySelectorAll(controls)]
          .filter((one) => one.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true}))
          .map((one, at) => {
            one.dataset.walk = `${at} ${one.localName} ${one.textContent.trim().slice(0, 20)}`;
            return one.dataset.walk;
          })""",
        CONTROLS,
    )
    # Tab goes on from where the focus was last.
    page.evaluate(
        "document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')"
    )
    walked: list[str] = []
    while len(walked) <= len(seen):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            """() => {
              const one = document.activeElement;
              if (one === document.body) return null;
              const ring = document.querySelector(`#${one.getAttribute("aria-activedescendant")}`) ?? one;
              const {outlineStyle, outlineWidth} = getComputedStyle(ring);
              const there = one.dataset.walk ?? `nothing that acts: ${one.outerHTML.slice(0, 60)}`;
              return outlineStyle === "none" || parseFloat(outlineWidth) < 1 ? `${there} unseen` : there;
            }"""
        )
        if focus is None:
            break
        walked.append(focus)
    return seen, walked


def cut_off(page: "Page") -> list[str]:
    """Return the names of regions that show a part of what is in them, and scroll sideways for the rest."""
    return page.evaluate(
        """() => [...document.querySelectorAll(".scroll")].filter((one) => one.checkVisibility())
          .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.ariaLabel)"""
    )
