"""Know the columns that the ledger writes, and write new rows of them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from sending import bulk
from sending.ledger.facts import Outcome
from sending.models import Attempt, Event, Message

REASON_LENGTH = 500
DETAIL_LENGTH = 1000
CLOCK_SECONDS = 10

MESSAGE_FIELDS = (
    "id",
    "api_key",
    "template_version",
    "stream",
    "recipient",
    "recipient_domain",
    "sender_address",
    "sender_name",
    "reply_to",
    "subject",
    "attribs",
    "has_unsubscribe_link",
    "track_opens",
    "track_clicks",
    "message_id",
    "priority",
    "status",
    "reason",
    "accepted_at",
    "status_at",
    "expires_at",
    "next_attempt_at",
    "attempt_count",
    "batch_id",
    "variant",
    "tags",
)
# By these the figures are told apart; no delivery needs them.
UNREAD = ("batch_id", "variant", "tags")
FOREIGN_KEYS = {
    "api_key": "api_key_id",
    "template_version": "template_version_id",
    "message": "message_id",
    "route": "route_id",
}
MESSAGE_ATTRIBUTES = tuple(FOREIGN_KEYS.get(name, name) for name in MESSAGE_FIELDS)
EVENT_FIELDS = (
    "message",
    "kind",
    "status_before",
    "status_after",
    "occurred_at",
    "attempt_number",
    "detail",
)
ATTEMPT_FIELDS = (
    "message",
    "number",
    "route",
    "started_at",
    "duration_ms",
    "phase",
    "outcome",
    "kind",
    "reply_code",
    "enhanced_status",
    "reply_text",
    "transport_id",
)

# (message, before, after, time, attempt, detail)
Change = tuple[UUID, str, str, datetime, int | None, str]


def database_now() -> datetime:
    """Return the time by the clock that all due times and leases are compared with."""
    if connection.vendor == "postgresql":
        return _clock.now()
    # SQLite has this host's clock, and tells it in milliseconds.
    now = timezone.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class ServerClock:
    """The clock of the database server, asked now and then, told by our own monotonic one.

    A jump of this host's clock changes nothing; the drift between two looks is below a
    millisecond.
    """

    def __init__(self) -> None:
        self._seen: tuple[float, datetime] | None = None

    def now(self) -> datetime:
        """Return the server's time."""
        seen = self._seen
        if seen is None or time.monotonic() - seen[0] > CLOCK_SECONDS:
            with connection.cursor() as cursor:
                cursor.execute("SELECT statement_timestamp()")
                # The answer is older than its arrival: what is due now must not seem to come.
                at = cursor.fetchone()[0]
                seen = self._seen = (time.monotonic(), at)
        return seen[1] + timedelta(seconds=time.monotonic() - seen[0])


_clock = ServerClock()


def insert_messages(messages: Iterable[Message]) -> None:
    """Insert new messages as they are."""
    rows = [[getattr(message, name) for name in MESSAGE_ATTRIBUTES] for message in messages]
    bulk.insert(Message, fields=MESSAGE_FIELDS, rows=rows)


def append_changes(changes: Iterable[Change]) -> None:
    """Append an event for each change of status."""
    rows = [
        (message_id, after, before, after, at, number, storable(detail)[:DETAIL_LENGTH])
        for message_id, before, after, at, number, detail in changes
    ]
    bulk.insert(Event, fields=EVENT_FIELDS, rows=rows)


def insert_attempts(outcomes: Iterable[Outcome]) -> None:
    """Insert the tries on the wire that the outcomes tell of, but for those that are known."""
    names = [FOREIGN_KEYS.get(name, name) for name in ATTEMPT_FIELDS]
    Attempt.objects.bulk_create(
        [Attempt(**dict(zip(names, row, strict=True))) for row in attempt_rows(outcomes)],
        ignore_conflicts=True,
    )


def storable(text: str) -> str:
    """Return what a server said without what PostgreSQL cannot store: NUL and half characters."""
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def attempt_rows(outcomes: Iterable[Outcome]) -> list[tuple[Any, ...]]:
    """Return a row of `ATTEMPT_FIELDS` for each outcome with a try on the wire."""
    return [
        (
            outcome.message_id,
            outcome.attempt_number,
            facts.route_id,
            facts.started_at,
            facts.duration_ms,
            str(facts.phase),
            str(outcome.status),
            str(facts.kind),
            facts.reply.code,
            storable(facts.reply.enhanced)[:12],
            storable(facts.reply.text)[:1000],
            storable(facts.transport_id)[:255],
        )
        for outcome in outcomes
        if (facts := outcome.attempt) is not None
    ]
