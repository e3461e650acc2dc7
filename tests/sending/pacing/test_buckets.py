"""The token buckets: alone, shared in Redis, and while Redis is away."""

from __future__ import annotations

import random
import signal
from itertools import pairwise

import pytest
from redis import Redis

from sending.pacing.buckets import (
    Answer,
    Ask,
    Bucket,
    MemoryBuckets,
    RedisBuckets,
    SafeBuckets,
    make_bucket,
)
from tests.redis_server import RedisServer

NEW = Ask((0,))
RETURNING = Ask((0,), is_returning=True)
GO = (0, -1)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def filled(bucket: Bucket) -> tuple[MemoryBuckets, Clock]:
    """Return buckets in which this one is full."""
    clock = Clock()
    buckets = MemoryBuckets(clock=clock)
    buckets.take([bucket], [Ask(())])
    clock.now += bucket.burst * bucket.interval_ms / 1000
    return buckets, clock


def waits(answers: list[Answer]) -> list[int]:
    return [wait for wait, _ in answers]


def test_burst_goes_and_each_that_waits_gets_a_time_of_its_own() -> None:
    bucket = Bucket("a", per_second=10, burst=3)
    buckets, _ = filled(bucket)
    assert waits(buckets.take([bucket], [NEW] * 6)) == [0, 0, 0, 100, 200, 300]
    assert waits(buckets.take([bucket], [NEW])) == [400]


def test_who_comes_at_the_time_that_was_told_goes() -> None:
    bucket = Bucket("a", per_second=10, burst=1)
    buckets, clock = filled(bucket)
    told = waits(buckets.take([bucket], [NEW] * 500))
    assert told == [100 * number for number in range(500)]
    for before, wait in pairwise(told):
        clock.now += (wait - before) / 1000
        assert buckets.take([bucket], [RETURNING]) == [GO]


def test_new_message_does_not_pass_those_that_wait() -> None:
    bucket = Bucket("a", per_second=10, burst=2)
    buckets, clock = filled(bucket)
    buckets.take([bucket], [NEW] * 12)
    clock.now += 0.5
    assert waits(buckets.take([bucket], [NEW])) == [600]
    assert waits(buckets.take([bucket], [RETURNING] * 2)) == [0, 0]


def test_those_who_come_late_together_do_not_exceed_the_limit_and_wait_shortly() -> None:
    bucket = Bucket("a", per_second=10, burst=2)
    buckets, clock = filled(bucket)
    buckets.take([bucket], [NEW] * 1000)
    clock.now += 30
    late = waits(buckets.take([bucket], [RETURNING] * 300))
    assert late[:4] == [0, 0, 100, 200]
    assert late[-1] == 29_800


def test_line_of_those_who_never_come_is_forgotten() -> None:
    bucket = Bucket("a", per_second=10, burst=2)
    buckets, clock = filled(bucket)
    buckets.take([bucket], [NEW] * 1000)
    clock.now += 6
    assert waits(buckets.take([bucket], [NEW] * 3)) == [0, 0, 100]


def test_message_takes_from_all_its_buckets_or_from_none() -> None:
    fast, slow = Bucket("fast", per_second=10, burst=5), Bucket("slow", per_second=1, burst=1)
    clock = Clock()
    buckets = MemoryBuckets(clock=clock)
    buckets.take([fast, slow], [Ask(())])
    clock.now += 10
    both = Ask((0, 1))
    assert buckets.take([fast, slow], [both] * 3) == [GO, (1000, 1), (2000, 1)]
    # The two that wait for the slow one took nothing of the fast one.
    assert waits(buckets.take([fast], [NEW] * 5)) == [0, 0, 0, 0, 100]


def test_bucket_that_is_not_known_begins_with_a_single_token() -> None:
    bucket = Bucket("a", per_second=10, burst=50)
    assert waits(MemoryBuckets().take([bucket], [NEW] * 3)) == [0, 100, 200]


def test_share_begins_with_nothing_and_is_slower() -> None:
    bucket = Bucket("a", per_second=10, burst=50)
    clock = Clock()
    buckets = MemoryBuckets(share=0.25, clock=clock)
    assert waits(buckets.take([bucket], [NEW] * 2)) == [400, 800]
    gone = 0
    for _ in range(1000):
        clock.now += 0.01
        gone += waits(buckets.take([bucket], [RETURNING])).count(0)
    assert gone == 25


@pytest.mark.parametrize(
    ("per_second", "burst", "held"),
    [(10, None, 10), (0.5, None, 1), (10, 1, 1), (1000, 1, 100), (10, 25, 25)],
)
def test_burst_is_a_second_s_worth_unless_told_and_never_too_small_to_be_used(
    per_second: float, burst: int | None, held: int
) -> None:
    assert make_bucket("a", per_second=per_second, burst=burst).burst == held


def test_many_names_do_not_fill_the_memory_and_open_nothing() -> None:
    buckets = MemoryBuckets(clock=Clock())
    for number in range(30_000):
        buckets.take([Bucket(str(number), per_second=1, burst=5)], [NEW])
    assert len(buckets._kept) <= 20_000


class RedisClock:
    """Buckets in memory under the clock of Redis, as far as a test can have it."""

    def __init__(self, url: str) -> None:
        self.client = Redis.from_url(url)

    def __call__(self) -> float:
        seconds, micros = self.client.time()
        return seconds + micros / 1_000_000


@pytest.mark.integration
@pytest.mark.parametrize("seed", range(5))
def test_redis_and_memory_answer_alike(redis_server: RedisServer, seed: int) -> None:
    chance = random.Random(seed)
    names = [
        # Slow enough that the time between the two answers does not matter.
        Bucket(f"b{number}", per_second=chance.choice([0.01, 0.02]), burst=chance.randint(1, 30))
        for number in range(4)
    ]
    shared = RedisBuckets(redis_server.url)
    own = MemoryBuckets(clock=RedisClock(redis_server.url))
    for _ in range(30):
        buckets = chance.sample(names, chance.randint(1, 4))
        asks = [
            Ask(
                tuple(chance.sample(range(len(buckets)), chance.randint(1, len(buckets)))),
                is_returning=chance.random() < 0.3,
            )
            for _ in range(chance.randint(1, 20))
        ]
        for mine, theirs in zip(own.take(buckets, asks), shared.take(buckets, asks), strict=True):
            assert (mine[0] == 0) == (theirs[0] == 0)
            assert mine[1] == theirs[1]
            assert abs(mine[0] - theirs[0]) < 1000  # ms, of waits of 50 s and more


@pytest.mark.integration
def test_empty_redis_opens_the_gate_by_one_message_only(redis_server: RedisServer) -> None:
    bucket = Bucket("a", per_second=0.01, burst=100)
    buckets = RedisBuckets(redis_server.url)
    assert waits(buckets.take([bucket], [NEW] * 50)).count(0) == 1
    Redis.from_url(redis_server.url).flushall()
    assert waits(buckets.take([bucket], [RETURNING] * 50)).count(0) == 1


@pytest.mark.integration
def test_redis_forgets_a_bucket_that_nobody_uses(redis_server: RedisServer) -> None:
    RedisBuckets(redis_server.url).take([Bucket("a", per_second=1, burst=1)], [NEW] * 10)
    client = Redis.from_url(redis_server.url)
    (key,) = client.keys("*")
    assert 0 < client.pttl(key) <= 3_600_000 + 11_000


@pytest.mark.integration
def test_while_redis_is_frozen_a_share_that_begins_empty_holds(redis_server: RedisServer) -> None:
    bucket = Bucket("a", per_second=0.01, burst=1000)
    safe = SafeBuckets(shared=RedisBuckets(redis_server.url), share=0.25)
    assert safe.take([bucket], [NEW]) == [GO]
    redis_server.signal(signal.SIGSTOP)
    assert waits(safe.take([bucket], [NEW] * 20)).count(0) == 0
    redis_server.signal(signal.SIGCONT)


@pytest.mark.integration
def test_redis_that_was_away_is_asked_again(redis_server: RedisServer) -> None:
    bucket = Bucket("a", per_second=0.01, burst=1)
    safe = SafeBuckets(shared=RedisBuckets(redis_server.url), share=0.25)
    redis_server.stop()
    assert safe.take([bucket], [NEW]) != [GO]
    redis_server.start()
    assert safe.take([bucket], [NEW]) != [GO]  # left alone for a while
    safe._breaker._skip_until = 0
    assert safe.take([bucket], [NEW]) == [GO]
