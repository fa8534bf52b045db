"""Renders report pages: self-contained HTML files that load nothing and run only their own script."""

import base64
import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
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
    """Style and script of a kind of page, in addition to the palette and scale of all pages.

    Attributes:
        style: CSS.
        script: JavaScript.
        rules: further rules of its Content-Security-Policy.
        filters: Jinja filters in addition to those of all pages.
    """

    style: str
    script: str
    rules: str = ""
    filters: Mapping[str, Callable[..., str]] = dataclasses.field(default_factory=dict)


def render(package: str, template: str, /, *, look: Look | None = None, **facts: Any) -> str:
    """Return a page's HTML, with all texts escaped, from a template that extends `shell.html`.

    Args:
        package: package whose `templates` folder has the template.
        template: name of the template.
        look: look of the page, if it is not a report.
        facts: the template's variables.
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
    """Return the Jinja environment of a package: it escapes all texts and rejects unknown variables.

    Args:
        package: package whose `templates` folder is searched before the shared one.
        filters: filters in addition to those of all pages.
    """
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package), jinja2.PackageLoader("digitmill.reports")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        bytecode_cache=_template_cache(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {**FILTERS, **filters}
    return made


class _TemplateCache(jinja2.FileSystemBytecodeCache):
    """Keeps compiled templates, as Python keeps `.pyc` files: compiling a report's takes 0.1 s."""

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Keep a compiled template, unless the disk is full or read-only."""
        with contextlib.suppress(OSError):
            super().dump_bytecode(bucket)


def _template_cache() -> _TemplateCache | None:
    """Return the cache in a temporary folder that only this user can write; None if there is none."""
    version = importlib.metadata.version("jinja2")  # another version may compile to other code
    try:
        return _TemplateCache(pattern=f"digitmill-{version}-%s.cache")
    except (OSError, RuntimeError):
        return None


@functools.cache
def _report() -> Look:
    return Look(_asset("report.css"), _asset("report.js"))


@functools.cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
