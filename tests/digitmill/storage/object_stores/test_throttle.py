import threading

import pytest

from digitmill.storage.object_stores.throttle import DOUBLING_SECONDS, START_RATE, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("limit", [10.0, 1000.0])
def test_no_more_than_the_limit_pass_in_a_second(limit: float) -> None:
    clock = Clock()
    throttle = Throttle(limit, clock=clock, sleep=clock.sleep)
    times = []
    for _ in range(int(3 * limit)):
        throttle.wait()
        times.append(clock.now)
    for start in range(3):
        assert sum(start <= time < start + 1 for time in times) <= limit + 1
    assert times[-1] == pytest.approx(3, abs=0.2)


def test_a_pause_is_not_saved_up_for_a_burst() -> None:
    clock = Clock()
    throttle = Throttle(10, clock=clock, sleep=clock.sleep)
    clock.now = 1000.0
    for _ in range(11):
        throttle.wait()
    assert clock.now == pytest.approx(1001.0)


def test_the_ramp_doubles_slowly_and_stops_at_the_limit() -> None:
    free, bounded = Throttle(None), Throttle(8000)
    assert free.rate(0) == START_RATE
    assert free.rate(DOUBLING_SECONDS) == 2 * START_RATE
    assert bounded.rate(0) == START_RATE
    assert bounded.rate(DOUBLING_SECONDS) == 8000


def test_the_ramp_begins_when_the_throttle_does() -> None:
    clock = Clock()
    clock.now = 10 * DOUBLING_SECONDS  # a machine that has been up for hours
    throttle = Throttle(clock=clock, sleep=clock.sleep)
    for _ in range(1 + int(START_RATE)):
        throttle.wait()
    assert clock.now == pytest.approx(10 * DOUBLING_SECONDS + 1, abs=0.01)


def test_threads_share_the_rate() -> None:
    throttle = Throttle(500)
    passed = []

    def pass_many() -> None:
        for _ in range(20):
            throttle.wait()
            passed.append(1)

    threads = [threading.Thread(target=pass_many) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The turns given out are 1/500 s apart, whoever took them.
    assert len(passed) == 100
    assert throttle._next - throttle._started >= 99 / 500
