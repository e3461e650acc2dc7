"""Read what became of the mail to some addresses: how much, opened or not, refused how often."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Min, Q

from sending.bounces import REMEMBERED
from sending.models import Attempt, Message, ReportedBounce, Status, first_id_since
from sending.replies import Kind

# As the statistics count them (stats.queries.Totals).
DELIVERED = Q(status__in=(Status.SENT, Status.DELIVERED, Status.COMPLAINED))
SENT = DELIVERED | Q(status__in=(Status.BOUNCED, Status.REJECTED))
TRACKED = DELIVERED & (Q(track_opens=True) | Q(track_clicks=True))
# Who got fewer mails in the time had too few chances.
LEAST_MAILS = 3
# So many messages that came back for the moment, and none that went through since.
LEAST_SOFT_BOUNCES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What the messages to one address tell; the first four are of those in the period."""

    sent: int = 0
    delivered: int = 0
    bounced: int = 0
    opened: int = 0
    never_engaged: str = ""
    soft_bounces: int = 0


NO_SIGNS = Signs()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """How far back is looked: for the rates of the past, and for any open or click."""

    now: datetime
    period_days: int
    never_engaged_days: int

    @property
    def period_start(self) -> datetime:
        """Return when the period begins."""
        return self.now - timedelta(days=self.period_days)

    @property
    def engaged_since(self) -> datetime:
        """Return since when an open or click counts."""
        return self.now - timedelta(days=self.never_engaged_days)


def figures_of(since: datetime) -> dict[str, Count]:
    """Return the aggregates that count messages accepted since then, as the statistics do."""
    recent = Q(id__gte=first_id_since(since))
    return {
        "sent": Count("id", filter=recent & SENT),
        "delivered": Count("id", filter=recent & DELIVERED),
        "bounced": Count("id", filter=recent & Q(status=Status.BOUNCED)),
        "opened": Count("id", filter=recent & DELIVERED & Q(opened_at__isnull=False)),
    }


def signs_of(written: Mapping[str, str], *, spans: Spans) -> dict[str, Signs]:
    """Return the signs by suppression key; `written` has the key for each way of writing it."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _messages(written, spans=spans):
        found[written[row["recipient"]]].append(row)
    soft = _soft_bounces(written, now=spans.now)
    return {key: _signs(found[key], soft.get(key, 0), spans=spans) for key in {*found, *soft}}


def _messages(written: Iterable[str], *, spans: Spans) -> Iterable[dict[str, Any]]:
    since = Q(id__gte=first_id_since(spans.engaged_since))
    rows: Iterable[Any] = (
        Message.objects.filter(recipient__in=list(written))
        .values("recipient")
        .annotate(
            **figures_of(spans.period_start),
            tracked=Count("id", filter=TRACKED & since),
            first_at=Min("accepted_at", filter=TRACKED),
            opened_last=Max("any_opened_at"),
            clicked_last=Max("any_clicked_at"),
        )
        .order_by()
    )
    return rows


def _signs(rows: list[dict[str, Any]], soft_bounces: int, *, spans: Spans) -> Signs:
    figures = Signs(
        **{
            name: sum(row[name] for row in rows)
            for name in ("sent", "delivered", "bounced", "opened")
        },
        soft_bounces=soft_bounces,
    )
    tracked = sum(row["tracked"] for row in rows)
    acts = [row[name] for row in rows for name in ("opened_last", "clicked_last") if row[name]]
    firsts = [row["first_at"] for row in rows if row["first_at"]]
    since = spans.engaged_since
    is_silent = not acts or max(acts) < since
    if tracked < LEAST_MAILS or min(firsts) > since or not is_silent:
        return figures
    last = f"the last was on {max(acts):%Y-%m-%d}" if acts else "and never before"
    told = f"{tracked} mails in {spans.never_engaged_days} days, no open or click; {last}"
    return replace(figures, never_engaged=told)


def _soft_bounces(written: Mapping[str, str], *, now: datetime) -> dict[str, int]:
    """Return how many messages came back for the moment since the last that went through."""
    since = now - REMEMBERED
    tries = Attempt.objects.filter(
        message__recipient__in=list(written), message__id__gte=first_id_since(since)
    )
    refused: dict[str, dict[Any, datetime]] = defaultdict(dict)
    softly = tries.filter(kind=Kind.SOFT).values_list("message__recipient", "message_id")
    for recipient, message_id, at in softly.annotate(at=Max("started_at")).order_by():
        refused[written[recipient]][message_id] = at
    reports = ReportedBounce.objects.filter(
        address__in=set(written.values()), kind=Kind.SOFT, reported_at__gt=since
    )
    for key, message_id, at in reports.values_list("address", "message_id", "reported_at"):
        refused[key][message_id] = at
    if not refused:
        return {}
    kept = tries.filter(outcome=Status.SENT).exclude(message__status=Status.BOUNCED)
    last: dict[str, datetime] = {}
    for recipient, at in (
        kept.values_list("message__recipient").annotate(at=Max("started_at")).order_by()
    ):
        key = written[recipient]
        last[key] = max(at, last.get(key, at))
    return {
        key: sum(key not in last or at > last[key] for at in times.values())
        for key, times in refused.items()
    }
