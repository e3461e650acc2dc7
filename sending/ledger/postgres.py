"""Do the work of the queue on PostgreSQL: one statement for each step, whatever the number of rows.

SKIP LOCKED lets any number of workers claim side by side. Only the clock of the database is used,
so that the clocks of the workers' hosts cannot matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from sending.ledger.facts import Outcome
from sending.ledger.rows import DETAIL_LENGTH, REASON_LENGTH, attempt_rows
from sending.models import Status
from sending.models.event import TRANSITIONS

CLAIM = """
WITH due AS (
    SELECT id, status FROM sending_message
    WHERE status IN ('queued', 'deferred') AND next_attempt_at <= statement_timestamp()
    ORDER BY next_attempt_at
    LIMIT %s
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE sending_message AS message
    SET status = 'sending', status_at = statement_timestamp(), reason = '', next_attempt_at = NULL,
        attempt_count = attempt_count + 1, claim = %s, handed_off_at = NULL,
        lease_until = statement_timestamp() + make_interval(secs => %s)
    FROM due WHERE message.id = due.id
    RETURNING message.id, due.status AS before, message.attempt_count
)
INSERT INTO sending_event
    (message_id, kind, status_before, status_after, occurred_at, attempt_number, detail)
SELECT id, 'sending', before, 'sending', statement_timestamp(), attempt_count, '' FROM claimed
RETURNING message_id
"""

# The order of the ids keeps two workers from waiting for each other's rows.
HANDOFF = """
WITH held AS (
    SELECT message.id FROM sending_message AS message
    JOIN unnest(%s::uuid[], %s::bigint[]) AS mine (id, claim)
        ON message.id = mine.id AND message.claim = mine.claim
    WHERE message.status = 'sending' AND message.lease_until > statement_timestamp()
    ORDER BY message.id
    FOR UPDATE OF message
)
UPDATE sending_message AS message
SET handed_off_at = statement_timestamp(),
    lease_until = statement_timestamp() + make_interval(secs => %s)
FROM held WHERE message.id = held.id
RETURNING message.id
"""

RECORD = """
WITH outcome AS (
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::int[], %s::text[], %s::text[], %s::text[],
        %s::float[]) AS o (id, claim, number, status, reason, detail, delay)
), held AS (
    SELECT message.id, message.status AS before FROM sending_message AS message
    JOIN outcome ON message.id = outcome.id AND message.claim = outcome.claim
    WHERE (message.status, outcome.status) IN (SETTLING)
    ORDER BY message.id
    FOR UPDATE OF message
), moved AS (
    UPDATE sending_message AS message
    SET status = outcome.status, status_at = statement_timestamp(), reason = outcome.reason,
        lease_until = NULL, lapse_count = 0,
        next_attempt_at = statement_timestamp() + make_interval(secs => outcome.delay)
    FROM outcome JOIN held ON held.id = outcome.id
    WHERE message.id = outcome.id
    RETURNING message.id, held.before, outcome.status, outcome.number, outcome.detail
)
INSERT INTO sending_event
    (message_id, kind, status_before, status_after, occurred_at, attempt_number, detail)
SELECT id, status, before, status, statement_timestamp(), number, detail FROM moved
""".replace(
    "SETTLING",
    ", ".join(
        f"('{before}', '{after}')"
        for before in (Status.SENDING, Status.UNKNOWN)
        for after in sorted(TRANSITIONS[before])
    ),
)

ATTEMPTS = """
INSERT INTO sending_attempt
    (message_id, number, route_id, started_at, duration_ms, phase, outcome, kind, reply_code,
     enhanced_status, reply_text, transport_id)
SELECT * FROM unnest(%s::uuid[], %s::int[], %s::bigint[], %s::timestamptz[], %s::int[], %s::text[],
    %s::text[], %s::text[], %s::int[], %s::text[], %s::text[], %s::text[])
"""


def claim_due(*, limit: int, claim: int, lease: timedelta) -> list[UUID]:
    """Move up to `limit` due messages to ``sending`` and return their ids."""
    return _ids(CLAIM, [limit, claim, lease.total_seconds()])


def begin_handoff(held: Sequence[tuple[UUID, int]], *, lease: timedelta) -> list[UUID]:
    """Mark the hand-off of what is still held, and return the ids."""
    ids, claims = zip(*held, strict=True)
    return _ids(HANDOFF, [list(ids), list(claims), lease.total_seconds()])


def record(outcomes: Sequence[Outcome]) -> None:
    """Write attempts, states and events of outcomes whose edge from ``sending`` was checked."""
    rows = [
        (
            row.message_id,
            row.claim,
            row.attempt_number,
            str(row.status),
            "" if row.status == Status.SENT else _clean(row.reason)[:REASON_LENGTH],
            _clean(row.reason)[:DETAIL_LENGTH],
            None if row.delay is None else row.delay.total_seconds(),
        )
        for row in outcomes
    ]
    attempts = attempt_rows(outcomes)
    with connection.cursor() as cursor:
        cursor.execute(RECORD, _columns(rows))
        if attempts:
            cursor.execute(ATTEMPTS, _columns(attempts))


def _clean(text: str) -> str:
    """Drop the one character that PostgreSQL cannot store; a server may send it."""
    return text.replace("\0", "")


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _ids(statement: str, parameters: list[Any]) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [row[0] for row in cursor.fetchall()]
