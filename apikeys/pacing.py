"""Limit how often something may happen, across processes when there is a Redis.

The algorithm is GCRA (the virtual scheduling of ITU-T I.371): per name one number, the time at
which the allowance will be full again. Without Redis, and while Redis does not answer, each
process counts for itself: the limit is then per process, but there is always one.
"""

from __future__ import annotations

import heapq
import logging
import math
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = logging.getLogger(__name__)

REDIS_TIMEOUT_SECONDS = 0.2
SKIP_REDIS_SECONDS = 5.0
MAX_NAMES = 20_000

# The clock is that of Redis, so the clocks of the processes need not agree. Times are in ms.
TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + interval
local wait = full_at - interval * burst - now
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.3f', full_at), 'PX', math.ceil(full_at - now))
return 0
"""


class Limiter(Protocol):
    """What every limiter can do."""

    def take(self, name: str, *, per_second: float, burst: int) -> int:
        """Take one from the allowance and return 0, or take none and return the ms to wait."""


class MemoryLimiter:
    """Count inside this process."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, max_names: int = MAX_NAMES
    ) -> None:
        self._clock = clock
        self._max_names = max_names
        self._full_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, name: str, *, per_second: float, burst: int) -> int:
        """Take one from the allowance and return 0, or take none and return the ms to wait."""
        interval = 1 / per_second
        with self._lock:
            now = self._clock()
            full_at = max(self._full_at.get(name, 0.0), now) + interval
            # Rounded to microseconds, because ceil() would make a wait of an error of arithmetic.
            wait_ms = math.ceil(round((full_at - interval * burst - now) * 1000, 3))
            if wait_ms > 0:
                return wait_ms
            self._full_at[name] = full_at
            if len(self._full_at) > self._max_names:
                self._forget_half()
        return 0

    def _forget_half(self) -> None:
        # Those that are full again, or soonest, lose least by being forgotten.
        kept = heapq.nlargest(self._max_names // 2, self._full_at.items(), key=lambda item: item[1])
        self._full_at = dict(kept)


def connect(url: str) -> Redis:
    """Return a client that would rather fail than keep anybody waiting."""
    return Redis.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


class RedisLimiter:
    """Count in Redis, for all processes together; raise RedisError when it does not answer."""

    def __init__(self, url: str) -> None:
        self._take = connect(url).register_script(TAKE)

    def take(self, name: str, *, per_second: float, burst: int) -> int:
        """Take one from the allowance and return 0, or take none and return the ms to wait."""
        interval_ms = f"{1000 / per_second:.6f}"
        return int(self._take(keys=[f"billionmail:pace:{name}"], args=[interval_ms, burst]))


class Breaker:
    """Remember that Redis did not answer, so that it is left alone for a while."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        skip_seconds: float = SKIP_REDIS_SECONDS,
    ) -> None:
        self._clock = clock
        self._skip_seconds = skip_seconds
        self._skip_until = -math.inf
        self._is_away = False

    def may_ask(self) -> bool:
        """Tell whether to ask Redis; while it is away one caller tries, and the others go on."""
        now = self._clock()
        if now < self._skip_until:
            return False
        if self._is_away:
            self._skip_until = now + self._skip_seconds
        return True

    def note_answer(self) -> None:
        """Let everybody ask again."""
        self._is_away, self._skip_until = False, -math.inf

    def trip(self, error: RedisError, *, consequence: str) -> None:
        """Leave Redis alone, so that not every call waits for the timeout; log what that means."""
        self._is_away = True
        self._skip_until = self._clock() + self._skip_seconds
        log.warning(
            "Redis does not answer (%s): %s for %s s.",
            type(error).__name__,
            consequence,
            self._skip_seconds,
        )


class SafeLimiter:
    """Count in Redis, and in this process while Redis does not answer: never open."""

    def __init__(
        self, *, shared: Limiter, own: Limiter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shared = shared
        self._own = own
        self._breaker = Breaker(clock=clock)

    def take(self, name: str, *, per_second: float, burst: int) -> int:
        """Take one from the allowance and return 0, or take none and return the ms to wait."""
        if self._breaker.may_ask():
            try:
                wait_ms = self._shared.take(name, per_second=per_second, burst=burst)
            except RedisError as error:
                self._breaker.trip(error, consequence="limits are per process")
            else:
                self._breaker.note_answer()
                return wait_ms
        return self._own.take(name, per_second=per_second, burst=burst)


@lru_cache(maxsize=4)
def limiter_at(redis_url: str) -> Limiter:
    """Return the limiter of this process for a Redis, or without one for an empty URL."""
    if not redis_url:
        return MemoryLimiter()
    return SafeLimiter(shared=RedisLimiter(redis_url), own=MemoryLimiter())


def limiter() -> Limiter:
    """Return the limiter that the settings ask for."""
    return limiter_at(settings.REDIS_URL)
