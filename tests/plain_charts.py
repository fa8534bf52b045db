"""Charts without a drawing: matplotlib's take two thirds of a small run, and most tests look at no chart.

Modules marked `charts` draw real ones, and so does every command that a test starts by its name.
"""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from markupsafe import Markup

from digitmill.reports.charts import chart

_REAL = chart.draw
_PNG = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)


def draw_nothing(*_: Any, inline: bool, **__: Any) -> tuple[bytes, Markup]:
    """Return a white pixel, and for a page an empty element."""
    return _PNG, Markup("<svg></svg>") if inline else Markup()


def install() -> None:
    """Draw no charts in this process from here on."""
    chart.draw = draw_nothing


@pytest.fixture(scope="module", autouse=True)
def charts_where_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Draw charts for modules marked `charts` only."""
    if request.node.get_closest_marker("charts") is None:
        install()
    yield
    chart.draw = _REAL
