"""Store made-up messages with their histories: the past, which `sending.ledger` cannot write.

The ledger writes what happens now, by the clock of the database. Here the same rows are written
with the times that they would have had; the state machine's constraints hold for them as well.
"""

from __future__ import annotations

from typing import Any

from django.db import connection, models, transaction
from django.db.models import Max

from billionmail.demo.history import MESSAGE_COLUMNS, Lot
from sending import bulk
from sending.models import Attempt, Event, Message, ReportedBounce, Suppression
from stats.models import Progress
from tracking.models import Visit
from unsubscribe.models import Unsubscribe

EVENT_COLUMNS = (
    "id", "message", "kind", "status_before", "status_after", "occurred_at", "attempt_number",
    "detail", "key",
)  # fmt: skip
ATTEMPT_COLUMNS = (
    "message", "number", "route", "started_at", "duration_ms", "phase", "outcome", "kind",
    "reply_code", "enhanced_status", "reply_text", "transport_id",
)  # fmt: skip
VISIT_COLUMNS = (
    "event", "message", "kind", "at", "link", "ip", "has_whole_ip", "user_agent", "method",
    "has_accept", "purpose", "label", "is_human", "reasons", "ruleset", "client", "device",
    "system", "country",
)  # fmt: skip
UNSUBSCRIBE_COLUMNS = ("message", "method", "created_at", "why")
SUPPRESSION_COLUMNS = ("address", "reason", "source_message", "note", "by", "created_at")
BOUNCE_COLUMNS = (
    "address", "message", "kind", "enhanced_status", "diagnostic", "reported_at",
)  # fmt: skip
OCCURRED_AT = EVENT_COLUMNS.index("occurred_at")


def store(lot: Lot) -> None:
    """Store a lot in one transaction, its events in the order of their times."""
    lot.events.sort(key=lambda event: event[OCCURRED_AT])
    with transaction.atomic():
        for number, event in zip(_event_ids(len(lot.events)), lot.events, strict=True):
            event[0] = number
        visits = [(event[0], *rest) for event, *rest in lot.visits]
        tables: tuple[tuple[type[models.Model], tuple[str, ...], list[Any]], ...] = (
            (Message, MESSAGE_COLUMNS, lot.messages),
            (Event, EVENT_COLUMNS, lot.events),
            (Attempt, ATTEMPT_COLUMNS, lot.attempts),
            (Visit, VISIT_COLUMNS, visits),
            (Unsubscribe, UNSUBSCRIBE_COLUMNS, lot.unsubscribes),
            (Suppression, SUPPRESSION_COLUMNS, lot.suppressions),
            (ReportedBounce, BOUNCE_COLUMNS, lot.bounces),
        )
        for model, columns, rows in tables:
            bulk.insert(model, fields=columns, rows=rows)


def _event_ids(number: int) -> list[int]:
    """Return so many unused ids of events, rising; nobody else gets them."""
    if connection.vendor != "postgresql":
        newest = Event.objects.aggregate(newest=Max("id"))["newest"] or 0
        # Those that were removed had been counted: who follows the log is further than it is long.
        counted = Progress.objects.aggregate(counted=Max("event_id"))["counted"] or 0
        first = max(newest, counted) + 1
        return list(range(first, first + number))
    with connection.cursor() as cursor:
        # Whoever counts the log waits for all who may bring an id that was given out, and knows
        # them by this lock, which a COPY would take only later.
        cursor.execute("LOCK TABLE sending_event IN ROW EXCLUSIVE MODE")
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('sending_event', 'id'))"
            " FROM generate_series(1, %s)",
            [number],
        )
        return sorted(row[0] for row in cursor.fetchall())
