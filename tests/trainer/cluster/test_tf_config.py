import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UserError
from trainer.cluster.tf_config import (
    CLUSTER_SPEC,
    INDEX_VARIABLES,
    VARIABLE,
    WORKERS,
    Cluster,
    read,
    set_from_launcher,
    tf_config,
)


def config(cluster: dict, kind: str = "worker", index: object = 0) -> dict[str, str]:
    return {VARIABLE: json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


@pytest.mark.parametrize("environment", [{}, {VARIABLE: ""}, {VARIABLE: "{}"}, {VARIABLE: '{"cluster": {}}'}])
def test_without_a_cluster_there_is_one_worker(environment):
    assert read(environment) == Cluster(workers=1, index=0)
    assert read(environment).is_chief


@given(st.integers(1, 20), st.data())
def test_every_worker_has_its_own_index_and_one_is_the_chief(workers, data):
    index = data.draw(st.integers(0, workers - 1))
    hosts = [f"host{number}:1" for number in range(workers)]
    found = read(config({"worker": hosts}, index=index))
    assert found == Cluster(workers=workers, index=index)
    assert found.is_chief == (index == 0)


@pytest.mark.parametrize(("kind", "index", "number"), [("chief", 0, 0), ("worker", 0, 1), ("worker", "1", 2)])
def test_a_chief_comes_before_the_workers(kind, index, number):
    found = read(config({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, kind, index))
    assert found == Cluster(workers=3, index=number)


def test_vertexs_single_machine_is_one_worker():
    assert read(config({"chief": ["cmle-training-workerpool0:2222"]}, "chief")) == Cluster()


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"cluster": []}', '{"cluster": {"worker": 3}}'])
def test_an_invalid_tf_config_is_refused(text):
    with pytest.raises(UserError, match="TF_CONFIG") as refusal:
        read({VARIABLE: text})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("hosts", [["a", "b"], ["a:1", "b:x"], [":1", "b:1"], ["a:1", "b:99999"], [1, 2]])
def test_a_cluster_whose_addresses_have_no_port_is_refused(hosts):
    with pytest.raises(UserError, match="the address of a worker is not HOST:PORT"):
        read(config({"worker": hosts}))


@pytest.mark.parametrize(("kind", "index"), [("worker", 2), ("chief", 0), ("worker", "x"), ("worker", -1)])
def test_a_task_that_is_not_in_the_cluster_is_refused(kind, index):
    with pytest.raises(UserError, match="task in TF_CONFIG is not in its cluster"):
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


HOSTS = [f"host{number}:2222" for number in range(4)]


def announced(**environment: str) -> dict[str, str]:
    set_from_launcher(environment)
    return environment


@given(st.integers(1, 20), st.data())
def test_a_written_tf_config_is_read_back(workers, data):
    index = data.draw(st.integers(0, workers - 1))
    hosts = [f"host{number}:1" for number in range(workers)]
    assert read({VARIABLE: tf_config(hosts, index)}) == Cluster(workers=workers, index=index)


def test_tensorflow_reads_a_written_tf_config(monkeypatch):
    import tensorflow as tf

    monkeypatch.setenv(VARIABLE, tf_config(HOSTS, 2))
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    assert resolver.cluster_spec().as_dict() == {"worker": HOSTS}
    assert (resolver.task_type, resolver.task_id) == ("worker", 2)


@pytest.mark.parametrize("number", INDEX_VARIABLES)
@pytest.mark.parametrize("index", range(4))
def test_kubernetes_and_slurm_number_their_workers(number, index):
    environment = announced(**{WORKERS: ",".join(HOSTS), number: str(index)})
    assert read(environment) == Cluster(workers=4, index=index)


@pytest.mark.parametrize(
    ("pool", "index", "place"), [("workerpool0", 0, 0), ("workerpool1", 0, 1), ("workerpool1", "2", 3)]
)
def test_vertexs_pools_are_chief_and_workers(pool, index, place):
    spec = {
        "cluster": {"workerpool0": HOSTS[:1], "workerpool1": HOSTS[1:]},
        "environment": "cloud",
        "task": {"type": pool, "index": index},
    }
    environment = announced(**{CLUSTER_SPEC: json.dumps(spec)})
    assert json.loads(environment[VARIABLE])["cluster"] == {"worker": HOSTS}
    assert read(environment) == Cluster(workers=4, index=place)


def test_an_existing_tf_config_is_kept():
    assert announced(TF_CONFIG="{}", DIGITMILL_WORKERS="nonsense")[VARIABLE] == "{}"


@pytest.mark.parametrize("number", INDEX_VARIABLES)
def test_an_index_alone_makes_no_cluster(number):
    assert VARIABLE not in announced(**{number: "1"})


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({WORKERS: "a:1,b:1"}, "does not hold a worker's index"),
        ({WORKERS: "a:1,b:1", "SLURM_PROCID": "x"}, "does not hold a worker's index"),
        ({WORKERS: "a:1,b:1", "SLURM_PROCID": "2"}, r"the worker's index is outside \[0, 2\)"),
        ({WORKERS: "a:1,b", "SLURM_PROCID": "0"}, "the address of a worker is not HOST:PORT"),
        ({WORKERS: "a:1,a:1", "SLURM_PROCID": "0"}, "two workers have the same address"),
        ({WORKERS: "a:99999", "SLURM_PROCID": "0"}, "the address of a worker is not HOST:PORT"),
        ({CLUSTER_SPEC: "{"}, "CLUSTER_SPEC is not a cluster and a task"),
        ({CLUSTER_SPEC: '{"cluster": {"workerpool2": ["a:1"]}, "task": {}}'}, "every worker keeps a copy"),
        (
            {CLUSTER_SPEC: '{"cluster": {"workerpool0": ["a:1"]}, "task": {"type": "workerpool3"}}'},
            "workerpool3",
        ),
        (
            {CLUSTER_SPEC: '{"cluster": {"workerpool0": ["a:1"]}, "task": {"type": "workerpool0"}}'},
            "no valid index",
        ),
    ],
)
def test_contradicting_launcher_variables_are_refused(environment, words):
    with pytest.raises(UserError, match=words) as refusal:
        set_from_launcher(environment)
    assert "\n" not in str(refusal.value)
    assert VARIABLE not in environment


@pytest.mark.parametrize("text", ["[" * 100_000, '{"cluster": ' + "[" * 100_000])
def test_deep_nesting_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match="TF_CONFIG is not a cluster and a task in JSON"):
        read({"TF_CONFIG": text})
