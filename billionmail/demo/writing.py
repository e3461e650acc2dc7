"""Store made-up messages with their histories: the past, which `sending.ledger` cannot write.

The ledger writes what happens now, by the clock of the database. Here the same rows are written
with the times that they would have had; the state machine's constraints hold for them as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db import connection, models, transaction

from billionmail.demo.history import MESSAGE_COLUMNS, Lot
from sending import bulk
from sending.models import Attempt, Event, Message, ReportedBounce, Suppression
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
ROWS_AT_ONCE = 2_000
OCCURRED_AT = EVENT_COLUMNS.index("occurred_at")


def store(lot: Lot) -> None:
    """Store a lot in one transaction, its events in the order of their times."""
    lot.events.sort(key=lambda event: event[OCCURRED_AT])
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # Whoever loses the last lots in a crash of the database begins anew.
                cursor.execute("SET LOCAL synchronous_commit = off")
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
            if connection.vendor == "postgresql":
                _copy(model, columns, rows)
            else:
                bulk.insert(model, fields=columns, rows=rows)


def _copy(model: type[models.Model], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Copy rows as text; psycopg, which adapts each value, needs five times as long."""
    fields: list[Any] = [model._meta.get_field(name) for name in columns]
    names = ", ".join(field.column for field in fields)
    places = [at for at, field in enumerate(fields) if isinstance(field, models.JSONField)]
    # No text that is made up is that word, or has a tab or the end of a line in it.
    statement = f"COPY {model._meta.db_table} ({names}) FROM STDIN (NULL 'None')"
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(statement) as copy,
    ):
        for start in range(0, len(rows), ROWS_AT_ONCE):
            lines = [_line(row, places) for row in rows[start : start + ROWS_AT_ONCE]]
            copy.write("".join(lines))


def _line(row: Sequence[Any], places: Sequence[int]) -> str:
    """Return a row as COPY reads it; JSON stands at the places."""
    if places:
        row = list(row)
        for place in places:
            row[place] = json.dumps(row[place])
    return "\t".join(map(str, row)).replace("\\", "\\\\") + "\n"


def _event_ids(number: int) -> list[int]:
    """Return so many unused ids of events, rising; nobody else gets them."""
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            # Also the ids of events that are gone: whoever counts the log has passed them.
            cursor.execute("SELECT MAX(seq) FROM sqlite_sequence WHERE name = 'sending_event'")
            newest = cursor.fetchone()[0] or 0
        return list(range(newest + 1, newest + 1 + number))
    with connection.cursor() as cursor:
        # Whoever counts the log waits for all who may bring an id that was given out, and knows
        # them by this lock, which a COPY would take only later.
        cursor.execute("LOCK TABLE sending_event IN ROW EXCLUSIVE MODE")
        cursor.execute(
            # The name of the sequence is looked up once, not for each id.
            "SELECT nextval(name) FROM (SELECT pg_get_serial_sequence('sending_event', 'id')"
            "::regclass AS name OFFSET 0) sequence, generate_series(1, %s)",
            [number],
        )
        return sorted(row[0] for row in cursor.fetchall())
