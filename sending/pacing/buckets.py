"""Take tokens from many buckets for many messages at once, from all buckets of one or from none.

A bucket is GCRA (the virtual scheduling of ITU-T I.371): the time at which it will be full again.
Beside it stand the ends of two waiting lines, so that each message that has to wait gets a time of
its own instead of asking again and again: one for new messages, one for those whose time has come
and who found no token after all. A line gives no tokens away: a token is taken only by a message
that really goes, so that late ones cannot exceed the limit together.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Protocol

from django.conf import settings
from redis.exceptions import RedisError

from apikeys.pacing import Breaker, connect

log = logging.getLogger(__name__)

# The part of a second that a bucket can hold at the least: workers look for due messages about
# every 0.05 s, and what they find together must find its tokens, else the limit is not used whole.
LEAST_BURST_SECONDS = 0.1
# A bucket that has been full for so long has no line: those who were to come never came.
LOST_LINE_MS = 5_000
MAX_BUCKETS = 20_000
KEPT_MS = 3_600_000

# Times are in ms by the clock of Redis, so that the clocks of the workers do not matter. A bucket
# that Redis does not know begins with a single token: who empties Redis opens no gate.
TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local asked = cjson.decode(ARGV[1])
local buckets, answers = {}, {}
for i, key in ipairs(KEYS) do
  local interval, burst = asked.buckets[i][1], asked.buckets[i][2]
  local kept = redis.call('HMGET', key, 'full_at', 'line', 'back')
  local b = {interval = interval, burst = burst}
  b.full_at = tonumber(kept[1]) or now + interval * (burst - 1)
  b.line, b.back = tonumber(kept[2]) or 0, tonumber(kept[3]) or 0
  if now - b.full_at > tonumber(ARGV[2]) then b.line, b.back = 0, 0 end
  buckets[i] = b
end
for _, want in ipairs(asked.wants) do
  local is_returning, slot, by = want[1] == 1, 0, 0
  for j = 2, #want do
    local b = buckets[want[j]]
    local ready = math.max(b.full_at, now) - b.interval * (b.burst - 1)
    local at = 0
    if is_returning then
      if ready > now then at = math.max(ready, b.back) end
    elseif math.max(ready, b.line, b.back) > now then
      at = math.max(ready, b.line, b.back)
    end
    if at > slot then slot, by = at, want[j] end
  end
  if by == 0 then
    for j = 2, #want do
      local b = buckets[want[j]]
      b.full_at = math.max(b.full_at, now) + b.interval
    end
    answers[#answers + 1] = {0, 0}
  else
    local b = buckets[by]
    if is_returning then b.back = slot + b.interval else b.line = slot + b.interval end
    answers[#answers + 1] = {math.max(1, math.ceil(slot - now)), by}
  end
end
for i, key in ipairs(KEYS) do
  local b = buckets[i]
  local f = '%.3f'
  redis.call('HSET', key, 'full_at', f:format(b.full_at), 'line', f:format(b.line),
    'back', f:format(b.back))
  local last = math.max(b.full_at, b.line, b.back, now)
  redis.call('PEXPIRE', key, math.ceil(last - now) + tonumber(ARGV[3]))
end
return answers
"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: `per_second` tokens come in, `burst` are held at most."""

    name: str
    per_second: float
    burst: float

    @property
    def interval_ms(self) -> float:
        """The time between two tokens."""
        return 1000 / self.per_second


def make_bucket(name: str, *, per_second: float, burst: int | None) -> Bucket:
    """Return a bucket; `burst` None: one second's worth. A tenth of that is the least."""
    held = max(burst or per_second, per_second * LEAST_BURST_SECONDS, 1)
    return Bucket(name, per_second, math.floor(held))


@dataclass(frozen=True, slots=True)
class Ask:
    """The buckets, by number, that one message takes from; `is_returning`: it has waited."""

    buckets: tuple[int, ...]
    is_returning: bool = False


# For each ask (0, -1), or the ms to wait and the number of the bucket that it waits for.
Answer = tuple[int, int]


class Buckets(Protocol):
    """What keeps the buckets."""

    def take(self, buckets: Sequence[Bucket], asks: Sequence[Ask]) -> list[Answer]:
        """Answer the asks in their order."""

    def taken(self, buckets: Sequence[Bucket]) -> list[float]:
        """Return how many tokens are out of each bucket now."""


class RedisBuckets:
    """Keep the buckets in Redis, for all workers; raises RedisError when it does not answer."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        self._take = self._client.register_script(TAKE)

    def take(self, buckets: Sequence[Bucket], asks: Sequence[Ask]) -> list[Answer]:
        """Answer the asks in one round trip."""
        asked = {
            "buckets": [[one.interval_ms, one.burst] for one in buckets],
            "wants": [[int(ask.is_returning), *(n + 1 for n in ask.buckets)] for ask in asks],
        }
        keys = [_key(one) for one in buckets]
        answers = self._take(keys=keys, args=[json.dumps(asked), LOST_LINE_MS, KEPT_MS])
        return [(int(wait), int(number) - 1) for wait, number in answers]

    def taken(self, buckets: Sequence[Bucket]) -> list[float]:
        """Return how many tokens are out of each bucket now."""
        with self._client.pipeline(transaction=False) as question:
            question.time()
            for bucket in buckets:
                question.hget(_key(bucket), "full_at")
            (seconds, micros), *found = question.execute()
        now_ms = seconds * 1000 + micros / 1000
        return [
            max(float(full_at or 0) - now_ms, 0) / bucket.interval_ms
            for bucket, full_at in zip(buckets, found, strict=True)
        ]


def _key(bucket: Bucket) -> str:
    # The braces put all keys into one slot of a cluster.
    return f"{{billionmail:buckets}}:{bucket.name}"


@dataclass(slots=True)
class _Kept:
    """The state of one bucket, in ms."""

    full_at: float
    line: float = 0
    back: float = 0


class MemoryBuckets:
    """Keep the buckets in this process, which takes the part `share` of each.

    A bucket that is not known begins with a single token, or with none where there is a share:
    the others may have taken it.
    """

    def __init__(self, *, share: float = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def take(self, buckets: Sequence[Bucket], asks: Sequence[Ask]) -> list[Answer]:
        """Answer the asks."""
        # Never 0, which stands for no time at all.
        now = self._clock() * 1000 + KEPT_MS
        shared = [self._shared(bucket) for bucket in buckets]
        kept = [self._find(bucket, now) for bucket in shared]
        answers = [_answer(ask, shared, kept, now) for ask in asks]
        if len(self._kept) > MAX_BUCKETS:
            # Forgetting all of it opens nothing: each begins anew with one token at most.
            self._kept.clear()
        return answers

    def taken(self, buckets: Sequence[Bucket]) -> list[float]:
        """Return how many tokens are out of each bucket now."""
        now = self._clock() * 1000 + KEPT_MS
        kept = [self._kept.get(bucket.name) for bucket in buckets]
        return [
            max(one.full_at - now, 0) / bucket.interval_ms if one is not None else 0
            for bucket, one in zip(buckets, kept, strict=True)
        ]

    def _shared(self, bucket: Bucket) -> Bucket:
        if self._share == 1:
            return bucket
        burst = max(math.floor(bucket.burst * self._share), 1)
        return Bucket(bucket.name, bucket.per_second * self._share, burst)

    def _find(self, bucket: Bucket, now: float) -> _Kept:
        kept = self._kept.get(bucket.name)
        if kept is None:
            missing = bucket.burst - 1 if self._share == 1 else bucket.burst
            kept = self._kept[bucket.name] = _Kept(now + missing * bucket.interval_ms)
        if now - kept.full_at > LOST_LINE_MS:
            kept.line = kept.back = 0
        return kept


def _answer(ask: Ask, buckets: Sequence[Bucket], kept: Sequence[_Kept], now: float) -> Answer:
    slots = [(_slot(ask, buckets[n], kept[n], now), n) for n in ask.buckets]
    slot, by = max(slots, key=itemgetter(0), default=(0.0, -1))
    if slot == 0:
        for number in ask.buckets:
            state = kept[number]
            state.full_at = max(state.full_at, now) + buckets[number].interval_ms
        return 0, -1
    end = slot + buckets[by].interval_ms
    if ask.is_returning:
        kept[by].back = end
    else:
        kept[by].line = end
    return max(1, math.ceil(round(slot - now, 3))), by


def _slot(ask: Ask, bucket: Bucket, kept: _Kept, now: float) -> float:
    """Return when the message can have a token; 0: now."""
    ready = max(kept.full_at, now) - bucket.interval_ms * (bucket.burst - 1)
    if ask.is_returning:
        at = max(ready, kept.back) if round(ready - now, 3) > 0 else 0.0
    else:
        at = max(ready, kept.line, kept.back)
    return at if round(at - now, 3) > 0 else 0.0


class SafeBuckets:
    """Ask Redis, and this process's share while Redis does not answer: slower, never open."""

    def __init__(self, *, shared: Buckets, share: float) -> None:
        self._shared = shared
        self._share = share
        self._own = MemoryBuckets(share=share)
        self._breaker = Breaker()

    def take(self, buckets: Sequence[Bucket], asks: Sequence[Ask]) -> list[Answer]:
        """Answer the asks."""
        if self._breaker.may_ask():
            try:
                answers = self._shared.take(buckets, asks)
            except RedisError as error:
                self._breaker.trip(error, consequence=f"each worker takes {self._share:.0%}")
            else:
                self._breaker.note_answer()
                # The next time that Redis is away begins with nothing.
                self._own = MemoryBuckets(share=self._share)
                return answers
        return self._own.take(buckets, asks)

    def taken(self, buckets: Sequence[Bucket]) -> list[float]:
        """Return how many tokens are out of each bucket now."""
        if self._breaker.may_ask():
            try:
                taken = self._shared.taken(buckets)
            except RedisError as error:
                self._breaker.trip(error, consequence="the use of the limits is not known")
            else:
                self._breaker.note_answer()
                return taken
        return self._own.taken(buckets)


@lru_cache(maxsize=4)
def buckets_at(redis_url: str, workers: int) -> Buckets:
    """Return the buckets of this process for a Redis; for an empty URL, those of one process."""
    if not redis_url:
        return MemoryBuckets()
    return SafeBuckets(shared=RedisBuckets(redis_url), share=1 / workers)


def shared_buckets() -> Buckets:
    """Return the buckets that the settings ask for."""
    return buckets_at(settings.REDIS_URL, settings.PACING_ASSUMED_WORKERS)
