import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UserError
from trainer.cluster import VARIABLE, Cluster, read


def config(cluster: dict, kind: str = "worker", index: object = 0) -> dict[str, str]:
    return {VARIABLE: json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


@pytest.mark.parametrize("environment", [{}, {VARIABLE: ""}, {VARIABLE: "{}"}, {VARIABLE: '{"cluster": {}}'}])
def test_without_a_cluster_there_is_one_worker(environment):
    assert read(environment) == Cluster(workers=1, index=0)
    assert read(environment).is_chief


@given(st.integers(1, 20), st.data())
def test_every_worker_has_a_number_of_its_own_and_one_is_the_chief(workers, data):
    index = data.draw(st.integers(0, workers - 1))
    hosts = [f"host{number}:1" for number in range(workers)]
    found = read(config({"worker": hosts}, index=index))
    assert found == Cluster(workers=workers, index=index)
    assert found.is_chief == (index == 0)


@pytest.mark.parametrize(("kind", "index", "number"), [("chief", 0, 0), ("worker", 0, 1), ("worker", "1", 2)])
def test_a_chief_comes_before_the_workers(kind, index, number):
    found = read(config({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, kind, index))
    assert found == Cluster(workers=3, index=number)


def test_vertex_s_single_machine_is_one_worker():
    assert read(config({"chief": ["cmle-training-workerpool0:2222"]}, "chief")) == Cluster()


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"cluster": []}', '{"cluster": {"worker": 3}}'])
def test_what_is_no_configuration_is_refused_on_one_line(text):
    with pytest.raises(UserError, match="TF_CONFIG") as refusal:
        read({VARIABLE: text})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("kind", "index"), [("worker", 2), ("chief", 0), ("worker", "x"), ("worker", -1)])
def test_a_task_that_is_not_in_the_cluster_is_refused(kind, index):
    with pytest.raises(UserError, match="task is one of its cluster"):
        read(config({"worker": ["a:1", "b:1"]}, kind, index))


@pytest.mark.parametrize(
    ("cluster", "kind"),
    [
        ({"worker": ["a:1"], "ps": ["b:1"]}, "worker"),
        ({"worker": ["a:1"], "evaluator": ["b:1"]}, "evaluator"),
    ],
)
def test_parameter_servers_and_evaluators_are_refused_with_the_reason(cluster, kind):
    with pytest.raises(UserError, match="every worker keeps a copy"):
        read(config(cluster, kind))
