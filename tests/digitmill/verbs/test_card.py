import pathlib
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from digitmill.default_model import SHIPPED_MODEL
from digitmill.verbs.card import card
from schemas.errors import UserError
from schemas.model import bundle as names
from schemas.model.model_card import ModelCard
from tests.gcs_emulator import Bucket


@pytest.fixture
def run() -> Callable[..., str]:
    def call(*arguments: object) -> str:
        return CliRunner().invoke(card, list(map(str, arguments)), catch_exceptions=False).output

    return call


def test_people_get_text(run: Callable, bundle_path: pathlib.Path) -> None:
    read = ModelCard.from_json((bundle_path / names.CARD).read_text())
    out = run(bundle_path)
    assert out.startswith("Model\n  recipe            dense-128\n")
    assert str(read.test_accuracy) in out
    assert read.command in out


def test_json_is_the_file_as_it_is(run: Callable, bundle_path: pathlib.Path) -> None:
    assert run(bundle_path, "--json") == (bundle_path / names.CARD).read_text()


def test_the_shipped_model_s_is_the_default(run: Callable) -> None:
    assert run("--json") == (SHIPPED_MODEL / names.CARD).read_text()


def test_a_bundle_in_a_bucket(run: Callable, bundle_path: pathlib.Path, bucket: Bucket) -> None:
    bucket.put("run/bundle/model_card.json", (bundle_path / names.CARD).read_bytes())
    assert run(f"{bucket.uri}/run/bundle") == run(bundle_path)


def test_what_is_no_bundle_is_one_line(run: Callable, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"model_card\.json"):
        run(tmp_path)
    (tmp_path / names.CARD).write_text("{}")
    with pytest.raises(UserError, match="unreadable") as refused:
        run(tmp_path)
    assert "\n" not in str(refused.value)
