"""Answer how mail flows; the only place where figures are read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min
from django.db.models.functions import TruncHour

from sending.models import Message, Status, first_id_since
from sending.models.message import WAITING

ARRIVED = (Status.SENT, Status.DELIVERED)
TROUBLE = (Status.BOUNCED, Status.COMPLAINED, Status.REJECTED, Status.FAILED, Status.EXPIRED)
CHART_HOURS = 24


@dataclass(frozen=True, slots=True)
class Overview:
    """The messages accepted since a moment by what became of them, and the queue as it is now.

    `oldest_waiting_seconds` is None when nothing is overdue.
    """

    accepted: int
    handed_over: int
    waiting: int
    deferred: int
    in_trouble: int
    suppressed: int
    oldest_waiting_seconds: int | None


def overview(*, since: datetime, now: datetime) -> Overview:
    """Return the figures of the messages accepted since then, and of the whole queue."""
    by_status: Counter[str] = Counter(
        dict(
            Message.objects.filter(id__gte=first_id_since(since))
            .values_list("status")
            .annotate(number=Count("id"))
        )
    )
    queue = dict(
        Message.objects.filter(status__in=(*WAITING, Status.SENDING))
        .values_list("status")
        .annotate(number=Count("id"))
    )
    oldest = Message.objects.filter(status__in=WAITING, next_attempt_at__lte=now).aggregate(
        since=Min("next_attempt_at")
    )["since"]
    return Overview(
        accepted=by_status.total() - by_status[Status.SUPPRESSED],
        handed_over=sum(by_status[status] for status in ARRIVED),
        waiting=queue.get(Status.QUEUED, 0) + queue.get(Status.SENDING, 0),
        deferred=queue.get(Status.DEFERRED, 0),
        in_trouble=sum(by_status[status] for status in TROUBLE),
        suppressed=by_status[Status.SUPPRESSED],
        oldest_waiting_seconds=int((now - oldest).total_seconds()) if oldest else None,
    )


def hourly_outcomes(*, now: datetime) -> dict[str, Any]:
    """Return the last 24 hours by hour of acceptance (UTC): labels, counts for each outcome."""
    last = now.replace(minute=0, second=0, microsecond=0)
    hours = [last - timedelta(hours=back) for back in reversed(range(CHART_HOURS))]
    counted = (
        Message.objects.filter(id__gte=first_id_since(hours[0]))
        .annotate(hour=TruncHour("accepted_at", tzinfo=now.tzinfo))
        .values_list("hour", "status")
        .annotate(number=Count("id"))
    )
    numbers = {(hour, status): number for hour, status, number in counted}
    groups = {
        "handed over": ARRIVED,
        "waiting": (*WAITING, Status.SENDING),
        "bounced or failed": TROUBLE,
        "suppressed": (Status.SUPPRESSED,),
    }
    return {
        "labels": [hour.strftime("%H:%M") for hour in hours],
        "series": {
            name: [sum(numbers.get((hour, status), 0) for status in statuses) for hour in hours]
            for name, statuses in groups.items()
        },
    }


def recent_failures(*, limit: int) -> list[Message]:
    """Return the newest messages that ended in trouble, with the words of the server."""
    newest = [
        message
        for status in TROUBLE
        for message in Message.objects.filter(status=status)
        .defer("attribs", "subject")
        .order_by("-id")[:limit]
    ]
    return sorted(newest, key=lambda message: message.id, reverse=True)[:limit]
