import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import recipes
from trainer.recipes.parts import overrides
from trainer.recipes.parts.search_space import (
    Choice,
    Real,
    distributions,
    study_spec,
    without_invalid_batches,
)
from trainer.train_options import TrainOptions

SPACES = {name: recipes.load(name).search for name in recipes.NAMES}


@pytest.mark.parametrize("name", SPACES)
def test_search_spaces_consist_of_options(name):
    assert "learning_rate" in SPACES[name]
    assert set(SPACES[name]) <= set(overrides.FIELDS)


@pytest.mark.parametrize("name", [name for name in SPACES if name != "distilled"])
def test_both_ends_of_every_search_space_are_valid(name):
    for at in (0, -1):
        chosen = {
            field: values.values[at] if isinstance(values, Choice) else (values.low, values.high)[at]
            for field, values in SPACES[name].items()
        }
        options = TrainOptions(recipe=name, data="sample", output="run", **chosen)
        assert overrides.settings(overrides.apply(recipes.load(name), options)).items() >= chosen.items()


@pytest.mark.parametrize("name", SPACES)
def test_optuna_accepts_every_space(name):
    import optuna

    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(0)).ask(distributions(SPACES[name]))
    assert set(trial.params) == set(SPACES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_the_study_spec_follows_vertex_ais_definition(name):
    from google.cloud.aiplatform_v1 import StudySpec

    spec = StudySpec.from_json(json.dumps(study_spec(SPACES[name], metric="val_accuracy")))
    parameters = {parameter.parameter_id: parameter for parameter in spec.parameters}
    flags = {field.name.replace("_", "-") for field in dataclasses.fields(TrainOptions)}
    assert set(parameters) <= flags
    assert "batch-norm" not in parameters
    # Text, for a number would come as 128.0.
    assert all("." not in value for value in parameters["batch"].categorical_value_spec.values)
    assert parameters["learning-rate"].scale_type.name == "UNIT_LOG_SCALE"
    assert spec.metrics[0].goal.name == "MAXIMIZE"


@given(st.integers(1, 8), st.integers(16, 1000))
def test_remaining_batches_divide_and_fit_the_data(replicas, images):
    found = without_invalid_batches(
        {"batch": Choice((32, 48, 64, 250)), "ema": Real(0.1, 0.2)}, replicas=replicas, images=images
    )
    left = found["batch"].values if "batch" in found else ()
    assert all(value % replicas == 0 and value <= images for value in left)
    assert len(left) == sum(value % replicas == 0 and value <= images for value in (32, 48, 64, 250))
    assert found["ema"] == Real(0.1, 0.2)


@pytest.mark.parametrize(("low", "high", "log"), [(1.0, 1.0, False), (2.0, 1.0, False), (0.0, 1.0, True)])
def test_an_empty_range_is_refused(low, high, log):
    with pytest.raises(ValueError, match="invalid range"):
        Real(low, high, log)


@pytest.mark.parametrize("values", [(), (1, 1), (1, True)])
def test_a_choice_is_between_values_that_differ(values):
    with pytest.raises(ValueError, match="invalid choice"):
        Choice(values)
