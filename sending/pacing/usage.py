"""Tell operators how much of the limits is in use."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Max, Sum

from sending.models import DailyCount, Limit, WarmUp
from sending.models.limit import EACH
from sending.pacing.buckets import shared_buckets
from sending.pacing.rules import limit_bucket, limit_name, utc_date


def of_limits(limits: Sequence[Limit], *, now: datetime) -> dict[int, str]:
    """Return for each limit, by its id, what is used of it now, in words."""
    known = [limit for limit in limits if EACH not in (limit.sender_domain, limit.provider)]
    found = {limit.pk: "each by itself" for limit in limits if limit not in known}
    daily = [limit for limit in known if limit.period == Limit.Period.DAY]
    names = {_name(limit): limit for limit in daily}
    used = DailyCount.objects.filter(name__in=names, date=utc_date(now))
    counts = dict(used.values_list("name", "used"))
    for name, limit in names.items():
        found[limit.pk] = f"{counts.get(name, 0)} of {limit.messages} today"
    paced = [limit for limit in known if limit.period != Limit.Period.DAY]
    buckets = [limit_bucket(limit, _name(limit)) for limit in paced]
    for limit, bucket, taken in zip(paced, buckets, shared_buckets().taken(buckets), strict=True):
        found[limit.pk] = f"{min(taken / bucket.burst, 1):.0%}"
    return found


def of_warm_up(plan: WarmUp, *, now: datetime) -> str:
    """Return how much went today, of the provider that got most if the plan is for each."""
    rows = DailyCount.objects.filter(name__startswith=f"warm-up:{plan.pk}:", date=utc_date(now))
    found = rows.aggregate(most=Max("used"), all=Sum("used"))
    allowance = plan.allowance(utc_date(now))
    if allowance is None:
        return "no limit today"
    if plan.provider != EACH:
        return f"{found['most'] or 0} of {allowance} today"
    return f"{found['all'] or 0} today, {found['most'] or 0} of {allowance} at the busiest"


def _name(limit: Limit) -> str:
    return limit_name(limit, sender=limit.sender_domain, provider=limit.provider)
