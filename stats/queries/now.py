"""Look at the queue as it is at this moment, and at the newest failures, by indexes alone.

History is read from the rollups, never here. What waits is counted there too: there may be a
million of those. The SQL is that of both databases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime

from sending.models import Message, Status, first_id_since
from stats.queries.figures import Cut

TROUBLE = (Status.BOUNCED, Status.COMPLAINED, Status.REJECTED, Status.FAILED, Status.EXPIRED)
# More deferred messages than this are not counted, and of the newest ones the reasons are.
MOST_COUNTED = 50_000
REASONS_OF = 300
# How many of the newest events tell the rate, and how many of the newest failures a key's own.
EVENTS_OF_RATE = 3000
FAILURES_OF_KEY = 2000
# Among how many of the newest failures those are found that are alike.
FAILURES_READ = 3000
# A message that failed at a time was accepted no longer before.
LONGEST_WAIT = timedelta(days=7)
# A hold on a message that ended so long ago should have been taken back.
LAPSED = timedelta(seconds=60)

# Each is one short walk along an index: message_held, message_by_status, message_due, the ids.
LOOK = f"""
SELECT (SELECT SUM(waiting) FROM stats_day WHERE dimension = 'all'),
  (SELECT COUNT(*) FROM sending_message WHERE status = 'sending'),
  (SELECT MIN(lease_until) FROM sending_message WHERE status = 'sending'),
  (SELECT COUNT(*) FROM (SELECT 1 FROM sending_message
    WHERE status = 'deferred' LIMIT {MOST_COUNTED}) AS deferred),
  (SELECT COUNT(*) FROM (SELECT 1 FROM sending_message
    WHERE status = 'unknown' LIMIT {MOST_COUNTED}) AS of_unknown_end),
  (SELECT MIN(next_attempt_at) FROM sending_message
    WHERE status IN ('queued', 'deferred') AND priority = 0),
  (SELECT MIN(next_attempt_at) FROM sending_message
    WHERE status IN ('queued', 'deferred') AND priority = 1),
  (SELECT COUNT(*) FROM (SELECT kind, occurred_at FROM sending_event
    ORDER BY id DESC LIMIT {EVENTS_OF_RATE}) AS newest
    WHERE kind = 'sent' AND occurred_at >= %s),
  (SELECT MIN(occurred_at) FROM (SELECT occurred_at FROM sending_event
    ORDER BY id DESC LIMIT {EVENTS_OF_RATE}) AS newest)
"""  # noqa: S608 - the numbers are ours


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue at a moment. `waiting` are all that are not done; the next two are among them.

    `deferred` and `unknown` go no further than `MOST_COUNTED`. `overdue_seconds`: how long the
    one that waits longest has been due; None when none is. `per_minute`: handed over of late.
    """

    waiting: int
    sending: int
    deferred: int
    unknown: int
    overdue_seconds: int | None
    lapsed_seconds: int | None
    per_minute: int

    @property
    def is_more_deferred(self) -> bool:
        """Tell whether more messages are deferred than were counted."""
        return self.deferred >= MOST_COUNTED

    @property
    def is_moving(self) -> bool:
        """Tell whether mail leaves now, or did in the last minute."""
        return bool(self.sending or self.per_minute)

    @property
    def seconds_left(self) -> float | None:
        """Return when all is sent if it goes on like this; None while nothing moves."""
        left = max(self.waiting - self.deferred, 0)
        return left * 60 / self.per_minute if left and self.per_minute else None


def queue(*, now: datetime) -> Queue:
    """Return the queue as it is, in one statement that no number of messages makes slow."""
    minute_ago = now - timedelta(minutes=1)
    with connection.cursor() as cursor:
        cursor.execute(LOOK, [connection.ops.adapt_datetimefield_value(minute_ago)])
        waiting, sending, lease, deferred, unknown, single, batch, sent, oldest = cursor.fetchone()
    due = [one for one in (_moment(single), _moment(batch)) if one is not None and one <= now]
    lapsed, begin = _moment(lease), max(_moment(oldest) or minute_ago, minute_ago)
    seconds = max((now - begin).total_seconds(), 1.0)
    return Queue(
        waiting=max(waiting or 0, sending + deferred),
        sending=sending,
        deferred=deferred,
        unknown=unknown,
        overdue_seconds=int((now - min(due)).total_seconds()) if due else None,
        lapsed_seconds=(
            int((now - lapsed).total_seconds()) if lapsed and lapsed < now - LAPSED else None
        ),
        per_minute=round(sent * 60 / seconds),
    )


def _moment(value: Any) -> datetime | None:
    """Return a time as the database gives it: SQLite does so as text in UTC."""
    moment = parse_datetime(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that ended in trouble, with the words of the server."""

    message_id: UUID
    recipient: str
    status: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """The newest failures, and why the newest of the deferred messages wait, by frequency."""

    failures: list[Failure]
    reasons: list[tuple[str, int]]


def trouble(*, limit: int, cut: Cut | None = None) -> Trouble:
    """Return the newest failures of a cut or of all mail, and why mail waits now, in one statement.

    Of chosen keys only the failures among the newest of all are found.
    """
    keys = cut.keys if cut else frozenset()
    depth = FAILURES_OF_KEY if keys else limit
    within = _accepted_in(cut) if cut else Q()
    parts = [_newest(status, depth, keys, within) for status in TROUBLE]
    waiting = _newest(Status.DEFERRED, REASONS_OF, keys, Q())
    rows = parts[0].union(*parts[1:], waiting, all=True)
    failures, reasons = [], Counter[str]()
    for row in rows:
        if row[2] == Status.DEFERRED:
            reasons[row[4]] += 1
        else:
            failures.append(Failure(*row))
    failures.sort(key=lambda one: one.message_id, reverse=True)
    return Trouble(failures[:limit], reasons.most_common(5))


def _accepted_in(cut: Cut) -> Q:
    return Q(id__gte=first_id_since(cut.start), id__lt=first_id_since(cut.end))


def _newest(
    status: Status, number: int, keys: Collection[UUID], within: Q
) -> QuerySet[Message, Any]:
    found = Message.objects.filter(within, status=status)
    rows = Message.objects.filter(id__in=found.order_by("-id").values("id")[:number])
    if keys:
        rows = rows.filter(api_key__in=keys)
    return rows.values_list("id", "recipient", "status", "status_at", "reason")


def failed_messages(
    cut: Cut, *, status: Status, is_meant: Callable[[str], bool], limit: int
) -> list[Failure]:
    """Return messages that failed in a cut and still stand there, the newest first.

    `is_meant` says of the words of the server whether they are. Only the newest `FAILURES_READ`
    of all keys are looked at.
    """
    newest = Message.objects.filter(
        status=status,
        id__gte=first_id_since(cut.start - LONGEST_WAIT),
        id__lt=first_id_since(cut.end),
    ).order_by("-id")
    rows = Message.objects.filter(
        id__in=newest.values("id")[:FAILURES_READ],
        status_at__gte=cut.start,
        status_at__lt=cut.end,
    )
    if cut.keys:
        rows = rows.filter(api_key__in=cut.keys)
    told = rows.values_list("id", "recipient", "status", "status_at", "reason").order_by("-id")
    return list(islice((Failure(*row) for row in told if is_meant(row[4])), limit))


def newest_messages(key_id: UUID, *, limit: int) -> list[Message]:
    """Return the newest messages of a key."""
    rows = Message.objects.filter(api_key=key_id).select_related("template_version__template")
    return list(rows.only(*SHOWN).order_by("-id")[:limit])


SHOWN = (
    "recipient", "status", "status_at", "reason", "batch_id", "accepted_at", "opened_at",
    "clicked_at", "template_version__number", "template_version__template__name",
)  # fmt: skip
