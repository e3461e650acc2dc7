"""Let messages go within every limit, or tell each of the others when its time comes."""

from __future__ import annotations

import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sending.models import SlowDown
from sending.pacing import daily, providers, slowing
from sending.pacing.buckets import Ask, Bucket, shared_buckets
from sending.pacing.rules import Applied, Rule, Rules, Want, utc_date

# Messages whose time is close are looked for that often.
LEAST_PAUSE_SECONDS = 0.05
# After midnight those that waited for the day come within this time, not all at once.
SPREAD_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Wait:
    """A message may not go yet: for how long, and why, as people read it."""

    delay: timedelta
    reason: str


class Pacing:
    """What one process knows of the limits. All calls come from one thread."""

    def __init__(self) -> None:
        self.rules = Rules()
        self._observed = slowing.Observed()
        self._lines: dict[str, tuple[float, float]] = {}

    def admit(self, wants: Sequence[Want], *, now: datetime) -> list[Wait | None]:
        """Return None for each message that may go now, and how long each of the others waits.

        A message that goes has taken from all that limits it, one that waits from nothing. Without
        a limit that applies this costs neither a query nor a word to Redis.
        """
        rules = self.rules.current(now)
        self._note(wants)
        if not rules:
            return [None] * len(wants)
        if self.rules.needs_provider:
            providers.known.prepare({want.recipient_domain for want in wants}, now=now)
        lot = _Lot(wants, _applied(rules, wants, now), now=now)
        lot.refuse_spent_days()
        self._take_tokens(lot)
        lot.take_from_days()
        return lot.answers

    def slow_down(
        self, *, recipient_domain: str = "", route_id: int | None = None, reply: str, now: datetime
    ) -> SlowDown | None:
        """Halve the rate to the provider of a domain, or by a route; None if that just happened."""
        if route_id is not None:
            provider, names = "", {_route_name(route_id)}
        else:
            providers.known.prepare([recipient_domain], now=now)
            provider = providers.known.of(recipient_domain)
            names = {
                name for name in self._observed.names() if providers.known.of(name) == provider
            }
        observed = self._observed.per_second(names)
        slowed = slowing.halve(
            provider=provider, route_id=route_id, observed=observed, reply=reply, now=now
        )
        if slowed is not None:
            self.rules.forget()
        return slowed

    def pause_seconds(self, longest: float) -> float:
        """Return how long to wait before looking for due messages again, `longest` at the most.

        A rate is used whole only when messages are taken up as their times come.
        """
        now = time.monotonic()
        self._lines = {name: line for name, line in self._lines.items() if line[0] > now}
        intervals = [interval for _, interval in self._lines.values()]
        return min([longest, max(LEAST_PAUSE_SECONDS, min(intervals, default=longest))])

    def _note(self, wants: Sequence[Want]) -> None:
        self._observed.note(want.recipient_domain for want in wants)
        self._observed.note(_route_name(want.route_id) for want in wants)

    def _take_tokens(self, lot: _Lot) -> None:
        asking = [n for n in lot.admitted() if lot.applied[n].buckets]
        if not asking:
            return
        numbers: dict[str, int] = {}
        buckets: list[Bucket] = []
        asks = []
        for n in asking:
            for bucket, _ in lot.applied[n].buckets:
                if bucket.name not in numbers:
                    numbers[bucket.name] = len(buckets)
                    buckets.append(bucket)
            own = tuple(numbers[bucket.name] for bucket, _ in lot.applied[n].buckets)
            asks.append(Ask(own, is_returning=lot.wants[n].is_returning))
        answers = shared_buckets().take(buckets, asks)
        for n, (wait_ms, by) in zip(asking, answers, strict=True):
            if wait_ms:
                self._note_line(buckets[by], wait_ms)
                lot.refuse(n, timedelta(milliseconds=wait_ms), lot.reason(n, buckets[by].name))

    def _note_line(self, bucket: Bucket, wait_ms: int) -> None:
        ends = time.monotonic() + wait_ms / 1000
        known = self._lines.get(bucket.name, (0.0, 0.0))[0]
        self._lines[bucket.name] = (max(known, ends), bucket.interval_ms / 1000)


def _applied(rules: Sequence[Rule], wants: Sequence[Want], now: datetime) -> list[Applied]:
    """Return what applies to each message; most messages of a claim are of the same kind."""
    kinds: dict[tuple[UUID, int, str, str], Applied] = {}
    found = []
    for want in wants:
        provider = providers.known.of(want.recipient_domain)
        kind = (want.key_id, want.route_id, want.sender_domain, provider)
        if kind not in kinds:
            kinds[kind] = Applied()
            for rule in rules:
                rule.apply(kinds[kind], want, provider, now)
        found.append(kinds[kind])
    return found


class _Lot:
    """The messages of one call, and the answers as far as they are known."""

    def __init__(self, wants: Sequence[Want], applied: Sequence[Applied], *, now: datetime) -> None:
        self.wants = wants
        self.applied = applied
        self.answers: list[Wait | None] = [None] * len(wants)
        self._now = now
        self._today = utc_date(now)
        self._allowances = {one.name: one.allowance for each in applied for one, _ in each.dailies}

    def admitted(self) -> list[int]:
        """Return the numbers of the messages that nothing has stopped so far."""
        return [n for n, answer in enumerate(self.answers) if answer is None]

    def reason(self, n: int, name: str) -> str:
        """Return why the bucket makes this message wait."""
        return next(why for bucket, why in self.applied[n].buckets if bucket.name == name)

    def refuse(self, n: int, delay: timedelta, why: str) -> None:
        """Let a message wait."""
        until = (self._now + delay).astimezone(UTC)
        shown = f"{until:%H:%M:%S}" if until.date() == self._today else f"{until:%Y-%m-%d %H:%M}"
        self.answers[n] = Wait(delay, f"delayed until {shown} UTC, because {why}")

    def refuse_spent_days(self) -> None:
        """Let wait what has no room left today, before it takes a token of anything else."""
        if self._allowances:
            used = daily.used(self._allowances, today=self._today)
            left = {name: most - used.get(name, 0) for name, most in self._allowances.items()}
            self._share_out(left)

    def take_from_days(self) -> None:
        """Count what goes; let wait what others were faster with."""
        wanted: Counter[str] = Counter()
        for n in self.admitted():
            wanted.update(one.name for one, _ in self.applied[n].dailies)
        if wanted:
            self._share_out(daily.take(wanted, allowances=self._allowances, today=self._today))

    def _share_out(self, room: Mapping[str, int]) -> None:
        left = defaultdict(int, room)
        for n in self.admitted():
            dailies = self.applied[n].dailies
            spent = [why for one, why in dailies if left[one.name] < 1]
            if spent:
                self.refuse(n, self._until_tomorrow(), spent[0])
            else:
                for one, _ in dailies:
                    left[one.name] -= 1

    def _until_tomorrow(self) -> timedelta:
        now = self._now.astimezone(UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        spread = random.random() * SPREAD_SECONDS  # noqa: S311 - spreads work, guards nothing
        return timedelta(seconds=math.ceil((midnight - now).total_seconds() + spread))


def _route_name(route_id: int) -> str:
    return f"route {route_id}"
