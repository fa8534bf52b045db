import base64
import errno
import hashlib
import os
import pathlib
import re
import stat
import tempfile

import cv2
import jinja2
import numpy as np
import pytest

from digitmill.reports import html_page
from digitmill.reports.gallery import Gallery, Picture, inline_png

TEMPLATE = """{% extends "shell.html" %}{% import "parts.html" as parts %}
{% block title %}{{ name }}{% endblock %}
{% block body %}<h1>{{ name }}</h1>{{ parts.gallery(gallery) }}{{ parts.fact("a", "<b>") }}{% endblock %}"""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> str:
    environment = html_page.environment("digitmill.reports")
    environment.loader = jinja2.ChoiceLoader([jinja2.DictLoader({"it.html": TEMPLATE}), environment.loader])
    monkeypatch.setattr(html_page, "environment", lambda _: environment)
    picture = Picture(
        "", "7", "note", "/a/<script>alert(1)</script>.png", '</ul>" onload=x', wrong=True, label="1"
    )
    return html_page.render(
        "digitmill.reports", "it.html", name="<i>", gallery=Gallery("<t>", "r", (picture,))
    )


def test_everything_is_escaped(made: str) -> None:
    assert "<i>" not in made
    assert "<b>" not in made
    assert "<script>alert" not in made
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.png" in made
    assert 'aria-label="&lt;/ul&gt;&#34; onload=x"' in made


def test_the_policy_names_the_pages_own_style_and_script(made: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', made)[1]
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", made, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} &#39;sha256-{digest}&#39;" in policy
    assert policy.startswith("default-src &#39;none&#39;")


def test_it_is_a_page_that_asks_for_nothing(made: str) -> None:
    assert made.lstrip().startswith("<!DOCTYPE html>")
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", made)
    assert "http:" not in made.replace("http-equiv", "")
    assert "https:" not in made


def test_an_undefined_name_is_an_error() -> None:
    environment = html_page.environment("digitmill.reports")
    with pytest.raises(jinja2.UndefinedError):
        environment.from_string("{{ nothing }}").render()


def test_pixels_are_inlined_losslessly(digits: np.ndarray) -> None:
    data = np.frombuffer(base64.b64decode(inline_png(digits[0])), np.uint8)
    np.testing.assert_array_equal(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), digits[0])


def _parts() -> str:
    environment = html_page.environment("digitmill.reports")
    return environment.get_template("parts.html").module.fact("a", "b")


@pytest.fixture
def temporary(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The temporary folder of this process."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_template_is_compiled_once(temporary: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _parts()
    (cache,) = temporary.iterdir()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700  # it holds code
    monkeypatch.setattr(jinja2.Environment, "compile", None)
    assert _parts() == first


@pytest.mark.parametrize("damage", [b"", b"not compiled", "half"])
def test_a_damaged_cache_is_written_anew(temporary: pathlib.Path, damage: bytes | str) -> None:
    first = _parts()
    for kept in temporary.glob("*/*.cache"):
        kept.write_bytes(kept.read_bytes()[:100] if damage == "half" else damage)
    assert _parts() == first


def test_without_a_temporary_folder_of_its_own_nothing_is_kept(temporary: pathlib.Path) -> None:
    (temporary / f"_jinja2-cache-{os.getuid()}").symlink_to("/nowhere")
    assert "<b>" not in _parts()


def test_on_a_full_disk_nothing_is_kept(temporary: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    assert "b" in _parts()
    assert not list(temporary.glob("*/*"))
