"""Renders report pages: each one self-contained file that loads nothing and runs no script but its own."""

import base64
import functools
import hashlib
import pathlib
from collections.abc import Callable
from typing import Any, Final

import jinja2
from markupsafe import Markup

from digitmill.reports.charts.palette import stylesheet
from digitmill.reports.numbers import FILTERS

_ASSETS: Final = pathlib.Path(__file__).parent / "assets"


def render(package: str, template: str, /, **facts: Any) -> str:
    """Return a page's HTML, in which everything is escaped, from a template that extends `shell.html`."""
    style, script = _style(), _asset("report.js")
    return (
        environment(package)
        .get_template(template)
        .render(style=Markup(style), script=Markup(script), policy=policy(style, script), **facts)
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
def _style() -> str:
    return stylesheet() + _asset("report.css")


@functools.cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
