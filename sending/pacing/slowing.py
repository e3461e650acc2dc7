"""Slow down for a provider or a route that asks for it, and remember how fast mail went."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from sending.models import Limit, SlowDown
from sending.models.limit import EACH

FLOOR_PER_SECOND = 0.1
# Where nothing is known of the rate before.
START_PER_SECOND = 2.0
# What was on its way when the rate was halved says nothing about the new rate.
HOLD = timedelta(seconds=10)
WINDOW_SECONDS = 60
# Over less, a few messages would look like a high rate.
LEAST_SECONDS = 10
REPLY_LENGTH = 500


class Observed:
    """How many messages this process let go lately, by whatever they are counted by."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._now: Counter[str] = Counter()
        self._before: Counter[str] = Counter()

    def note(self, names: Iterable[str]) -> None:
        """Count one more for each of the names."""
        self._turn()
        self._now.update(names)

    def per_second(self, names: Iterable[str]) -> float:
        """Return the rate of all these names together, over the last one or two minutes."""
        self._turn()
        seconds = self._clock() - self._began + (WINDOW_SECONDS if self._before else 0)
        total = sum(self._now[name] + self._before[name] for name in names)
        return total / max(seconds, LEAST_SECONDS)

    def names(self) -> set[str]:
        """Return what was counted lately."""
        return self._now.keys() | self._before.keys()

    def _turn(self) -> None:
        passed = self._clock() - self._began
        if passed >= WINDOW_SECONDS:
            self._before = self._now if passed < 2 * WINDOW_SECONDS else Counter()
            self._now, self._began = Counter(), self._clock()


def halve(
    *, provider: str = "", route_id: int | None = None, observed: float, reply: str, now: datetime
) -> SlowDown | None:
    """Halve the rate of a provider or of a route; None while the last halving is still at work.

    The first time it starts from the rate that is configured or was `observed`, a second.
    """
    try:
        with transaction.atomic():
            return _halve(provider, route_id, observed=observed, reply=reply, now=now)
    except IntegrityError:  # another worker was told the same at the same time
        return None


def _halve(
    provider: str, route_id: int | None, *, observed: float, reply: str, now: datetime
) -> SlowDown | None:
    is_same = Q(provider=provider, route=None) if route_id is None else Q(route_id=route_id)
    row = SlowDown.objects.select_for_update().filter(is_same).first()
    rate = row.rate(now) if row is not None else None
    if row is not None and rate is not None and now - row.changed_at < HOLD:
        return None
    if row is None:
        row = SlowDown(provider=provider, route_id=route_id)
    if rate is None:
        rate = _start(provider=provider, route_id=route_id, observed=observed)
        row.full_per_second = rate
    row.per_second = max(rate / 2, FLOOR_PER_SECOND)
    row.full_per_second = max(row.full_per_second, 2 * FLOOR_PER_SECOND)
    row.changed_at = now
    row.reply = reply[:REPLY_LENGTH]
    row.save()
    return row


def _start(*, provider: str, route_id: int | None, observed: float) -> float:
    limits = Limit.objects.filter(is_active=True).exclude(period=Limit.Period.DAY)
    limits = (
        limits.filter(route_id=route_id)
        if route_id is not None
        else limits.filter(provider__in=(provider, EACH))
    )
    configured = [limit.per_second for limit in limits if limit.api_key_id is None]
    return min(configured, default=max(observed, START_PER_SECOND))
