import pytest

from trainer.cluster.collectives import Collectives


def test_one_worker_gets_its_own_values(two_replicas):
    collectives = Collectives(two_replicas)
    assert collectives.all_gather([1.5, 2.0]).tolist() == [[1.5, 2.0]]
    assert collectives.broadcast(-1) == -1
    assert collectives.minimum(2**40) == 2**40
    assert collectives.digest("ab" * 32) == "ab" * 32


@pytest.mark.parametrize("data", [b"", b"hello", b"12345678"])
def test_one_worker_receives_its_own_bytes(two_replicas, data):
    assert Collectives(two_replicas).exchange(data) == [data]
