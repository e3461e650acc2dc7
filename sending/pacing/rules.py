"""Know what is limited: read it now and then, and find what applies to a message."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Protocol
from uuid import UUID

from django.conf import settings

from sending.models import Limit, SlowDown, WarmUp
from sending.models.limit import EACH
from sending.pacing.buckets import Bucket, make_bucket


@dataclass(frozen=True, slots=True)
class Want:
    """A message that asks to leave; `is_returning`: a limit made it wait before."""

    key_id: UUID
    route_id: int
    sender_domain: str
    recipient_domain: str
    is_returning: bool = False


@dataclass(frozen=True, slots=True)
class Daily:
    """So many messages on one UTC day."""

    name: str
    allowance: int


@dataclass(slots=True)
class Applied:
    """What applies to one kind of mail, each with why it makes wait."""

    buckets: list[tuple[Bucket, str]] = field(default_factory=list)
    dailies: list[tuple[Daily, str]] = field(default_factory=list)


class Rule(Protocol):
    """One thing that limits."""

    needs_provider: bool

    def apply(self, applied: Applied, want: Want, provider: str, now: datetime) -> None:
        """Add to `applied` what this rule asks of the message."""


class LimitRule:
    """A row of `Limit`."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self.needs_provider = bool(limit.provider)

    def apply(self, applied: Applied, want: Want, provider: str, now: datetime) -> None:
        """Add the bucket or the day's allowance of the mail that the message belongs to."""
        limit = self._limit
        if not (
            limit.api_key_id in (None, want.key_id)
            and limit.route_id in (None, want.route_id)
            and limit.sender_domain in ("", EACH, want.sender_domain)
            and limit.provider in ("", EACH, provider)
        ):
            return
        sender = want.sender_domain if limit.sender_domain else ""
        at = provider if limit.provider else ""
        name = limit_name(limit, sender=sender, provider=at)
        scope = limit.describe_scope(sender_domain=sender, provider=at)
        reason = f"at most {_count(limit.messages)} a {limit.unit} may go{scope}"
        if limit.period == Limit.Period.DAY:
            applied.dailies.append((Daily(name, limit.messages), reason))
            return
        applied.buckets.append((limit_bucket(limit, name), reason))


def limit_name(limit: Limit, *, sender: str, provider: str) -> str:
    """Return what the mail is counted by that a limit holds back together."""
    return f"limit:{limit.pk}:{sender}:{provider}"


def limit_bucket(limit: Limit, name: str) -> Bucket:
    """Return the bucket of a limit that is no daily one."""
    # The rate is part of the name: a bucket of another rate is another one.
    name = f"{name}:{limit.messages}/{limit.period}/{limit.burst or ''}"
    return make_bucket(name, per_second=limit.per_second, burst=limit.burst)


class WarmUpRule:
    """A row of `WarmUp`."""

    needs_provider = True

    def __init__(self, plan: WarmUp) -> None:
        self._plan = plan

    def apply(self, applied: Applied, want: Want, provider: str, now: datetime) -> None:
        """Add the allowance of this day of the plan."""
        plan = self._plan
        if want.sender_domain != plan.sender_domain or plan.provider not in (EACH, provider):
            return
        today = utc_date(now)
        allowance = plan.allowance(today)
        if allowance is None:
            return
        reason = (
            f"day {plan.day_number(today)} of the warm-up of {plan.sender_domain} at {provider} "
            f"has {_count(allowance)}"
        )
        applied.dailies.append((Daily(f"warm-up:{plan.pk}:{provider}", allowance), reason))


class SlowDownRule:
    """A row of `SlowDown`."""

    def __init__(self, slow_down: SlowDown) -> None:
        self._slow_down = slow_down
        self.needs_provider = slow_down.route_id is None

    def apply(self, applied: Applied, want: Want, provider: str, now: datetime) -> None:
        """Add a bucket of the rate that it has recovered to."""
        slow_down = self._slow_down
        rate = slow_down.rate(now)
        is_meant = (
            slow_down.provider == provider
            if slow_down.route_id is None
            else slow_down.route_id == want.route_id
        )
        if not is_meant or rate is None:
            return
        name = f"slow-down:{slow_down.pk}"
        reason = f"{slow_down} asked us to slow down, and gets {rate:.3g} a second for now"
        applied.buckets.append((make_bucket(name, per_second=rate, burst=1), reason))


class Rules:
    """All that is limited, as it was read a moment ago."""

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._rules: list[Rule] = []
        self.needs_provider = False

    def current(self, now: datetime) -> list[Rule]:
        """Return the rules, read anew when they are older than `PACING_RECENT_SECONDS`."""
        if time.monotonic() - self._read_at >= settings.PACING_RECENT_SECONDS:
            limits = Limit.objects.filter(is_active=True).select_related("api_key", "route")
            plans = WarmUp.objects.filter(is_active=True)
            slow_downs = SlowDown.objects.select_related("route")
            self._rules = [
                *(LimitRule(one) for one in limits.order_by("pk")),
                *(WarmUpRule(one) for one in plans.order_by("pk")),
                *(SlowDownRule(one) for one in slow_downs.order_by("pk") if one.rate(now)),
            ]
            self.needs_provider = any(rule.needs_provider for rule in self._rules)
            self._read_at = time.monotonic()
        return self._rules

    def forget(self) -> None:
        """Read anew at the next call."""
        self._read_at = float("-inf")


def utc_date(now: datetime) -> date:
    """Return the day that it is in UTC, where the days of all limits begin."""
    return now.astimezone(UTC).date()


def _count(messages: int) -> str:
    return f"{messages} message" if messages == 1 else f"{messages} messages"
