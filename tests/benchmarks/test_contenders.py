import dataclasses
import importlib.util
import json
import pathlib
import sys

import pytest

from benchmarks import contenders
from benchmarks.contenders import ALL, MODELS, SHIPPED, Contender, Model
from digitmill.default_model import SHIPPED_MODEL
from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine_choice import EngineChoice, EngineKind
from trainer import recipes

BUNDLE = pathlib.Path("/bundle")


def test_names_tell_contenders_apart() -> None:
    assert len({contender.name for contender in ALL}) == len(ALL)


@pytest.mark.parametrize("contender", ALL, ids=lambda contender: contender.name)
def test_a_command_names_a_module_and_what_it_works_on(contender: Contender) -> None:
    command = contender.command("/images", Model("r", BUNDLE, "litert_int8"), pathlib.Path("/out"))
    python, flag, module, *arguments = map(str, command)
    assert (python, flag) == (sys.executable, "-m")
    assert importlib.util.find_spec(module) is not None
    assert {"/images", "/bundle", "/out"} <= set(arguments)


def test_the_ceiling_runs_the_engine_that_digitmill_finds_fastest(
    bundle_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def openvino(opened: Bundle) -> Bundle:
        return dataclasses.replace(opened, engine=EngineChoice(EngineKind.OPENVINO, "fastest"))

    monkeypatch.setattr(contenders, "fastest", openvino)
    model = Model("dense-128", bundle_path).with_engine()
    assert contenders.ceiling("/i", model, BUNDLE)[-1] == "openvino"
    assert contenders.ceiling_on_two("/i", model, BUNDLE)[-2:] == ["openvino", 2]
    # digitmill chooses by itself, as it does for its users.
    assert "--engine" not in contenders.score("/i", model, BUNDLE)


def test_the_shipped_model_is_among_those_that_are_scored() -> None:
    card = open_bundle(SHIPPED_MODEL).card
    assert card.recipe == SHIPPED
    assert SHIPPED in {model.recipe for model in MODELS}


def test_models_are_recipes() -> None:
    assert {model.recipe for model in MODELS} <= set(recipes.NAMES)


def test_who_lacks_a_module_is_left_out() -> None:
    lacking = Contender("x", contenders.score, contenders.printed_seconds, ("no_such_module_here",))
    having = Contender("y", contenders.score, contenders.printed_seconds, ("json",))
    assert contenders.installed([lacking, having]) == (having,)


def test_seconds_are_printed_last() -> None:
    assert contenders.printed_seconds("chatter 3\n1.25\n", BUNDLE) == 1.25


def test_a_job_takes_from_its_start_to_its_last_row(tmp_path: pathlib.Path) -> None:
    times = {
        "started": "2030-01-02T03:04:05.500000+00:00",
        "finished": "2030-01-02T03:04:08.000000+00:00",
        "pipeline_seconds": 1.0,
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"times": times}))
    assert contenders.job_seconds("", tmp_path) == 2.5
