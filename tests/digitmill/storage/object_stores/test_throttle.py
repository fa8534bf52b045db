import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.storage.object_stores.throttle import (
    BURST_SECONDS,
    DOUBLING_SECONDS,
    START_RATE,
    Throttle,
)
from schemas.errors import StorageError


class Clock:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.now += seconds
        return stop.is_set()

    def throttle(self, limit: float | None = None, **options: int) -> Throttle:
        return Throttle(limit, clock=self, wait=self.wait, **options)


@given(limit=st.floats(5, 20_000), turns=st.integers(1, 8))
def test_no_more_than_the_limit_pass_in_a_second(limit: float, turns: int) -> None:
    clock = Clock()
    throttle = clock.throttle(limit)
    times: list[float] = []
    while len(times) < 3 * min(limit, 1000):
        taken = throttle.take(turns)
        times += [clock.now] * taken
    burst = min(limit, START_RATE) * BURST_SECONDS + 2 * turns
    for start in range(int(times[-1]) + 1):
        assert sum(start <= time < start + 1 for time in times) <= min(limit, START_RATE) + burst


def test_a_pause_is_not_saved_up_for_a_burst() -> None:
    clock = Clock()
    throttle = clock.throttle(10)
    clock.now = 1000.0
    for _ in range(11):
        throttle.take()
    assert clock.now == pytest.approx(1001.0)


def test_the_ramp_doubles_slowly_and_stops_at_the_limit() -> None:
    free, bounded = Throttle(None), Throttle(8000)
    assert free.ramp(0) == START_RATE
    assert free.ramp(DOUBLING_SECONDS) == 2 * START_RATE
    assert bounded.ramp(0) == START_RATE
    assert bounded.ramp(DOUBLING_SECONDS) == 8000


@pytest.mark.parametrize("limit", [None, 1000])
def test_processes_share_one_ramp(limit: float | None) -> None:
    assert Throttle(limit, processes=4).ramp(60) == Throttle(limit).ramp(60) / 4


def test_the_ramp_begins_when_the_throttle_does() -> None:
    clock = Clock(10 * DOUBLING_SECONDS)  # a machine that has been up for hours
    throttle = clock.throttle()
    for _ in range(1 + int(START_RATE)):
        throttle.take()
    assert clock.now == pytest.approx(10 * DOUBLING_SECONDS + 1, abs=BURST_SECONDS + 0.01)


def test_threads_share_the_rate() -> None:
    throttle = Throttle(500)
    passed = []

    def pass_many() -> None:
        for _ in range(20):
            throttle.take()
            passed.append(1)

    threads = [threading.Thread(target=pass_many) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The turns given out are 1/500 s apart, whoever took them.
    assert len(passed) == 100
    assert throttle._next - throttle._started >= 99 / 500


def test_a_turn_is_not_waited_for_after_a_stop() -> None:
    clock, stop = Clock(), threading.Event()
    throttle = clock.throttle(1)
    throttle.take()
    stop.set()
    with pytest.raises(StorageError, match="stopped while waiting"):
        throttle.take(stop=stop)


def requests_for(answers: int, granted: float, throttle: Throttle, clock: Clock) -> int:
    """Return the requests that so many answers take of a store that grants so many a second."""
    saved, filled, sent, succeeded = granted / 10, clock.now, 0, 0
    while succeeded < answers:
        for _ in range(throttle.take(8)):
            now = clock.now
            clock.now += 0.0002
            saved, filled = min(granted / 10, saved + (clock.now - filled) * granted), clock.now
            sent += 1
            if saved < 1:
                throttle.slow_down(now)
                break
            saved -= 1
            succeeded += 1
            throttle.succeed()
    return sent


@given(granted=st.floats(50, 4000))
def test_a_store_that_grants_less_is_hardly_asked_in_vain(granted: float) -> None:
    clock = Clock()
    assert requests_for(10_000, granted, clock.throttle(), clock) <= 1.05 * 10_000
    # And most of what it grants is used.
    assert clock.now <= 10_000 / granted / 0.6 + 10


def test_the_rate_recovers_when_the_store_does() -> None:
    clock = Clock()
    throttle = clock.throttle()
    requests_for(5_000, 500, throttle, clock)
    slow, begun = throttle.cuts, clock.now
    requests_for(50_000, 1e9, throttle, clock)
    assert throttle.cuts == slow
    assert 50_000 / (clock.now - begun) > 500


def test_the_rate_recovers_within_minutes_from_next_to_nothing() -> None:
    clock = Clock()
    throttle = clock.throttle()
    for _ in range(100):  # half of all requests fail, however few there are
        throttle.take()
        throttle.succeed()
        throttle.slow_down(clock.now)
        clock.now += 0.5
    clock.now += 300
    passed, begun = 0, clock.now
    while clock.now < begun + 1:
        passed += throttle.take()
    assert passed > 1000


def test_a_store_that_answers_nothing_is_not_slowed_down_for_further() -> None:
    clock = Clock()
    throttle = clock.throttle()
    throttle.take()
    for _ in range(100):
        clock.now += random.random()
        throttle.slow_down(clock.now)
    assert throttle.cuts == 1


def test_requests_that_were_under_way_count_once() -> None:
    clock = Clock()
    throttle = clock.throttle()
    for _ in range(12):
        throttle.succeed()
        throttle.slow_down(0.0)
    assert throttle.cuts == 1
    clock.now = 1e-3
    assert throttle.take(8) == 1
