"""The limiter itself: alone, shared, and while Redis is away."""

import logging
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from apikeys.pacing import MemoryLimiter, RedisLimiter, SafeLimiter, limiter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_burst_passes_and_then_the_rate_rules() -> None:
    clock = Clock()
    paced = MemoryLimiter(clock=clock)

    assert [paced.take("a", per_second=5, burst=3) for _ in range(4)] == [0, 0, 0, 200]
    clock.now += 0.2
    assert [paced.take("a", per_second=5, burst=3) for _ in range(2)] == [0, 200]


def test_waiting_as_told_is_enough() -> None:
    clock = Clock()
    paced = MemoryLimiter(clock=clock)

    for _ in range(500):
        wait_ms = paced.take("a", per_second=7, burst=2)
        clock.now += wait_ms / 1000
        assert not wait_ms or paced.take("a", per_second=7, burst=2) == 0


def test_refused_tries_do_not_lengthen_the_wait() -> None:
    paced = MemoryLimiter(clock=Clock())

    waits = [paced.take("a", per_second=1, burst=1) for _ in range(5)]

    assert waits == [0, 1000, 1000, 1000, 1000]


def test_long_run_keeps_the_rate() -> None:
    clock = Clock()
    paced = MemoryLimiter(clock=clock)
    passed = 0

    for _ in range(10_000):
        passed += paced.take("a", per_second=10, burst=10) == 0
        clock.now += 0.001

    assert 109 <= passed <= 110


def test_names_are_counted_apart() -> None:
    paced = MemoryLimiter(clock=Clock())

    assert [paced.take(name, per_second=1, burst=1) for name in "ab"] == [0, 0]


def test_memory_is_bounded_and_the_busiest_stay_limited() -> None:
    paced = MemoryLimiter(clock=Clock(), max_names=100)
    for _ in range(10):
        paced.take("busy", per_second=1, burst=10)

    for number in range(10_000):
        paced.take(f"caller {number}", per_second=1, burst=10)

    assert len(paced._full_at) <= 100
    assert paced.take("busy", per_second=1, burst=10) > 0


def test_threads_share_one_allowance() -> None:
    paced = MemoryLimiter()

    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: paced.take("a", per_second=0.01, burst=50), range(400)))

    assert waits.count(0) == 50


def test_without_redis_the_process_counts_for_itself(settings) -> None:
    settings.REDIS_URL = ""

    assert isinstance(limiter(), MemoryLimiter)
    assert limiter() is limiter()


@pytest.mark.integration
def test_redis_and_memory_agree(redis_server) -> None:
    shared, own = RedisLimiter(redis_server.url), MemoryLimiter(clock=Clock())

    in_redis = [shared.take("a", per_second=0.5, burst=3) for _ in range(5)]
    in_memory = [own.take("a", per_second=0.5, burst=3) for _ in range(5)]

    assert in_redis[:3] == in_memory[:3] == [0, 0, 0]
    assert in_memory[3:] == [2000, 2000]
    assert all(1500 < wait <= 2000 for wait in in_redis[3:])


@pytest.mark.integration
def test_waiting_as_redis_says_is_enough(redis_server) -> None:
    shared = RedisLimiter(redis_server.url)
    shared.take("a", per_second=20, burst=1)

    wait = shared.take("a", per_second=20, burst=1)
    time.sleep(wait / 1000)

    # Where the machine has paused so long that the second was let go too, this is its successor.
    assert wait == 0 or shared.take("a", per_second=20, burst=1) == 0


@pytest.mark.integration
def test_processes_share_one_allowance_in_redis(redis_server) -> None:
    limiters = [RedisLimiter(redis_server.url) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        waits = list(
            pool.map(lambda n: limiters[n % 4].take("a", per_second=0.01, burst=25), range(100))
        )

    assert waits.count(0) == 25


@pytest.mark.integration
def test_redis_forgets_an_allowance_that_is_full_again(redis_server) -> None:
    shared = RedisLimiter(redis_server.url)
    client = shared._take.registered_client

    shared.take("a", per_second=100, burst=5)
    time.sleep(0.05)

    assert client.keys("*") == []


@pytest.mark.integration
def test_limit_holds_while_redis_is_away_and_returns_with_it(redis_server) -> None:
    clock = Clock()
    safe = SafeLimiter(
        shared=RedisLimiter(redis_server.url), own=MemoryLimiter(clock=clock), clock=clock
    )
    assert safe.take("a", per_second=0.01, burst=1) == 0
    redis_server.stop()

    assert safe.take("a", per_second=0.01, burst=1) == 0  # Counted anew by this process ...
    assert safe.take("a", per_second=0.01, burst=1) > 0  # ... which does keep the limit.

    redis_server.start()
    assert safe.take("b", per_second=0.01, burst=1) == 0
    clock.now += 6
    assert safe.take("b", per_second=0.01, burst=1) == 0  # Redis is asked again.
    assert safe.take("b", per_second=0.01, burst=1) > 0


def test_dead_redis_is_not_asked_for_every_request(caplog) -> None:
    clock = Clock()
    shared = RedisLimiter("redis://127.0.0.1:1/0")
    safe = SafeLimiter(shared=shared, own=MemoryLimiter(clock=clock), clock=clock)

    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            safe.take("a", per_second=100, burst=100)
        assert caplog.text.count("Redis does not answer") == 1

        clock.now += 6
        safe.take("a", per_second=100, burst=100)
        assert caplog.text.count("Redis does not answer") == 2


def test_silent_redis_delays_a_request_by_a_moment_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        shared = RedisLimiter(url)
        patience = shared._take.registered_client.get_connection_kwargs()
        assert patience["socket_timeout"] == patience["socket_connect_timeout"] == 0.2
        assert patience["retry"]._retries == 0
        asked = CountedLimiter(shared)
        safe = SafeLimiter(shared=asked, own=MemoryLimiter(), clock=Clock())

        assert safe.take("a", per_second=0.01, burst=1) == 0
        assert safe.take("a", per_second=0.01, burst=1) > 0

        assert asked.number == 1


def test_one_caller_alone_waits_to_see_whether_a_silent_redis_is_back() -> None:
    clock = Clock()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        asked = CountedLimiter(RedisLimiter(url))
        safe = SafeLimiter(shared=asked, own=MemoryLimiter(clock=clock), clock=clock)
        safe.take("a", per_second=100, burst=100)
        clock.now += 6
        with ThreadPoolExecutor(8) as pool:
            waits = list(pool.map(lambda _: safe.take("a", per_second=100, burst=100), range(8)))
    assert waits == [0] * 8
    assert asked.number == 2


class CountedLimiter:
    """Count how often the limiter behind it is asked."""

    def __init__(self, inner: RedisLimiter) -> None:
        self.inner = inner
        self.number = 0

    def take(self, name: str, *, per_second: float, burst: int) -> int:
        self.number += 1
        return self.inner.take(name, per_second=per_second, burst=burst)
