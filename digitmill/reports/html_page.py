"""Renders report pages: each one self-contained file that loads nothing and runs no script but its own."""

import base64
import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import jinja2
from markupsafe import Markup

from digitmill.reports.charts.palette import stylesheet
from digitmill.reports.numbers import FILTERS

_ASSETS: Final = pathlib.Path(__file__).parent / "assets"


@dataclasses.dataclass(frozen=True)
class Look:
    """What a kind of page has besides the palette and the scale that all pages share.

    Attributes:
        style: CSS.
        script: JavaScript.
        rules: further rules of its Content-Security-Policy.
        filters: Jinja filters besides those that all pages have.
    """

    style: str
    script: str
    rules: str = ""
    filters: Mapping[str, Callable[..., str]] = dataclasses.field(default_factory=dict)


def render(package: str, template: str, /, *, look: Look | None = None, **facts: Any) -> str:
    """Return a page's HTML, in which everything is escaped, from a template that extends `shell.html`.

    Args:
        package: whose `templates` folder has the template.
        template: its name.
        look: of another kind of page than a report.
        facts: what the template shows.
    """
    look = look or _report()
    style = stylesheet() + _asset("base.css") + look.style
    rules = policy(style, look.script) + look.rules
    return (
        environment(package, **look.filters)
        .get_template(template)
        .render(style=Markup(style), script=Markup(look.script), policy=rules, **facts)
    )


def policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy: this style and this script, inlined pictures, nothing else."""
    return (
        "default-src 'none'; img-src data:; "
        f"style-src {_hashed(style)}; script-src {_hashed(script)}; base-uri 'none'; form-action 'none'"
    )


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def environment(package: str, /, **filters: Callable[..., str]) -> jinja2.Environment:
    """Return the environment of all templates: it escapes everything and raise on unknown variables.

    Args:
        package: whose `templates` folder is searched, before this room's.
        filters: besides those that all pages have.
    """
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package), jinja2.PackageLoader("digitmill.reports")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {**FILTERS, **filters}
    return made


@functools.cache
def _report() -> Look:
    return Look(_asset("report.css"), _asset("report.js"))


@functools.cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
