import importlib.util
import json
import pathlib
import sys

import pytest

from benchmarks import contenders
from benchmarks.contenders import ALL, MODELS, Contender, Model
from trainer import recipes

BUNDLE = pathlib.Path("/bundle")


def test_names_tell_contenders_apart() -> None:
    assert len({contender.name for contender in ALL}) == len(ALL)


@pytest.mark.parametrize("contender", ALL, ids=lambda contender: contender.name)
def test_a_command_names_a_module_and_what_it_works_on(contender: Contender) -> None:
    command = contender.command("/images", Model("r", "litert_int8", BUNDLE), pathlib.Path("/out"))
    python, flag, module, *arguments = map(str, command)
    assert (python, flag) == (sys.executable, "-m")
    assert importlib.util.find_spec(module) is not None
    assert {"/images", "/bundle", "/out"} <= set(arguments)


def test_digitmill_and_the_ceiling_run_the_same_engine() -> None:
    for model in MODELS:
        file, engine = (
            ("model_int8.tflite", "litert_int8")
            if model.recipe == "small-cnn"
            else ("model.tflite", "litert")
        )
        assert contenders.ceiling("/i", model, BUNDLE)[-1] == file
        assert contenders.ceiling_on_two("/i", model, BUNDLE)[-2:] == [file, 2]
        command = list(contenders.score("/i", model, BUNDLE))
        assert command[command.index("--engine") + 1] == engine


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
