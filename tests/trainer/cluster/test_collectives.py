import numpy as np

from trainer.cluster.collectives import Agreement


def test_one_worker_agrees_with_itself(two_replicas):
    agreement = Agreement(two_replicas)
    assert agreement.gather([1.5, 2.0]).tolist() == [[1.5, 2.0]]
    assert agreement.of_chief(-1) == -1
    assert agreement.least(2**40) == 2**40
    assert agreement.total(np.array([3, 4])) == (3, 4)
    assert agreement.digest("ab" * 32) == "ab" * 32
