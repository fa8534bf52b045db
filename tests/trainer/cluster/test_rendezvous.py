import concurrent.futures
import contextlib
import itertools
import json
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UserError
from tests.gcs_emulator import free_port
from trainer.cluster import rendezvous
from trainer.cluster.rendezvous import difference, meet
from trainer.cluster.tf_config import Cluster

FACTS = {"the version of digitmill": "1", "--epochs": 3, "--data": None}


def never() -> bool:
    return False


@pytest.fixture
def start():
    """Start workers of one job in threads; their outcomes are futures."""
    with concurrent.futures.ThreadPoolExecutor() as pool:

        def worker(index: int, workers: int, port: int, facts=FACTS, is_over=never):
            addresses = (f"127.0.0.1:{port}", *(f"127.0.0.1:{n}" for n in range(1, workers)))
            cluster = Cluster(workers, index, addresses)
            return pool.submit(meet, cluster, facts, is_over=is_over)

        yield worker


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_workers_meet_in_whatever_order_they_come(start, order):
    port = free_port()
    met = [start(index, 3, port) for index in order]
    assert [each.result(30) for each in met] == [True] * 3


def test_the_port_is_free_again_after_a_meeting(start):
    port = free_port()
    for _ in range(2):
        met = [start(index, 2, port) for index in range(2)]
        assert all(each.result(30) for each in met)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_all_workers_say_in_what_one_differs(start):
    port = free_port()
    met = [start(0, 3, port), start(1, 3, port), start(2, 3, port, FACTS | {"--epochs": 5})]
    said = []
    for each in met:
        with pytest.raises(UserError) as error:
            each.result(30)
        said.append(str(error.value))
    assert len(set(said)) == 1
    assert said[0].startswith("the workers differ in --epochs: worker 2 has 5, the chief has: 3. Start all")


def test_workers_differ_in_the_number_of_workers(start):
    port = free_port()
    for each in (start(0, 2, port), start(1, 3, port)):
        with pytest.raises(UserError, match="in the number of workers: worker 1 has 3, the chief has: 2"):
            each.result(30)


def test_who_waits_says_why_the_chief_cannot_be_reached(start, monkeypatch, capsys):
    monkeypatch.setattr(rendezvous, "_NOTICE_SECONDS", 0)
    port, over = free_port(), threading.Event()
    worker = start(1, 2, port, is_over=over.is_set)
    said = ""
    while "\n" not in said:
        said += capsys.readouterr().err
    over.set()
    assert worker.result(30) is False
    assert said == f"waiting for the other workers at 127.0.0.1:{port}, the chief: Connection refused\n"


def test_strangers_and_a_worker_that_comes_again_do_not_disturb(start):
    port = free_port()
    chief = start(0, 3, port)
    first = _connect(port)
    first.sendall(json.dumps({"worker": 1, "facts": {"--epochs": 99}}).encode() + b"\n")
    for stranger in (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b'{"worker": 7, "facts": {}}\n',
        b"[]\n",
        b"\xff\n",
    ):
        with _connect(port) as connection:
            connection.sendall(stranger)
    silent = _connect(port)
    others = [start(index, 3, port) for index in (1, 2)]
    with first, silent:
        assert [each.result(30) for each in (chief, *others)] == [True] * 3


def _connect(port: int) -> socket.socket:
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection(("127.0.0.1", port), timeout=10)


def test_a_worker_that_dies_while_it_waits_is_waited_for(start):
    port = free_port()
    chief, second = start(0, 3, port), start(2, 3, port)
    with _connect(port) as dead:
        dead.sendall(json.dumps({"worker": 1, "facts": dict(FACTS)}).encode() + b"\n")
    assert start(1, 3, port).result(30)
    assert chief.result(30)
    assert second.result(30)


@pytest.mark.parametrize("index", [0, 1])
def test_nobody_waits_for_a_run_that_is_over(start, index):
    over = threading.Event()
    worker = start(index, 2, free_port(), is_over=over.is_set)
    assert not worker.done()
    over.set()
    assert worker.result(30) is False


def test_a_port_in_use_is_an_error(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match="cannot listen on the chief's port of TF_CONFIG"):
            start(0, 2, port).result(30)


facts = st.dictionaries(st.sampled_from("abc"), st.integers(0, 1) | st.none(), max_size=3)


@given(st.lists(facts, min_size=1, max_size=4))
def test_a_difference_is_found_if_and_only_if_there_is_one(all_facts):
    same = all(each.get(name) == all_facts[0].get(name) for each in all_facts for name in "abc")
    assert (difference(all_facts) is None) == same
