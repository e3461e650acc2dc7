"""Do the work of the queue on PostgreSQL: one statement for each step, whatever the number of rows.

SKIP LOCKED lets any number of workers claim side by side. Only the clock of the database is used,
so that the clocks of the workers' hosts cannot matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection

from sending.ledger.facts import Outcome
from sending.ledger.rows import ATTEMPT_FIELDS, DETAIL_LENGTH, REASON_LENGTH, attempt_rows, storable
from sending.models import Status
from sending.models.event import TRANSITIONS

CLAIM = """
WITH due AS (
    SELECT id, status FROM sending_message
    WHERE status IN ('queued', 'deferred') AND next_attempt_at <= statement_timestamp()
        AND expires_at > statement_timestamp()
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

# The rows come as one JSON value: psycopg needs longer to make twenty arrays than the server to
# read it. Their ids come once more as a list, which alone tells the planner that they are few.
# The order keeps two workers from waiting for each other's rows.
HANDOFF = """
WITH held AS (
    SELECT message.id FROM sending_message AS message
    JOIN jsonb_to_recordset(%s::jsonb) AS mine (id uuid, claim bigint)
        ON message.id = mine.id AND message.claim = mine.claim
    WHERE message.id = ANY(%s::uuid[])
        AND message.status = 'sending' AND message.lease_until > statement_timestamp()
    ORDER BY message.id
    FOR UPDATE OF message
)
UPDATE sending_message AS message
SET handed_off_at = statement_timestamp(),
    lease_until = statement_timestamp() + make_interval(secs => %s)
FROM held WHERE message.id = held.id AND message.id = ANY(%s::uuid[])
RETURNING message.id, message.claim
"""

RECORD = """
WITH outcome AS (
    SELECT * FROM jsonb_to_recordset(%s::jsonb) AS o (
        id uuid, claim bigint, number int, status text, reason text, detail text, delay float,
        is_try boolean)
), held AS (
    SELECT message.id, message.status AS before FROM sending_message AS message
    JOIN outcome ON message.id = outcome.id AND message.claim = outcome.claim
    WHERE message.id = ANY(%s::uuid[]) AND (
        message.status = 'sending'
        OR message.status = 'unknown' AND outcome.status = ANY(%s::text[])
    )
    ORDER BY message.id
    FOR UPDATE OF message
), moved AS (
    UPDATE sending_message AS message
    SET status = outcome.status, status_at = statement_timestamp(), reason = outcome.reason,
        lease_until = NULL, lapse_count = 0,
        next_attempt_at = statement_timestamp() + make_interval(secs => outcome.delay),
        is_limited = NOT outcome.is_try,
        attempt_count = attempt_count - CASE WHEN outcome.is_try THEN 0 ELSE 1 END,
        expires_at = CASE WHEN outcome.is_try THEN expires_at
            ELSE expires_at + make_interval(secs => outcome.delay) END
    FROM outcome JOIN held ON held.id = outcome.id
    WHERE message.id = outcome.id AND message.id = ANY(%s::uuid[])
    RETURNING message.id, held.before, outcome.status, outcome.number, outcome.detail
), attempted AS (
    INSERT INTO sending_attempt
        (message_id, number, route_id, started_at, duration_ms, phase, outcome, kind, reply_code,
         enhanced_status, reply_text, transport_id)
    SELECT * FROM jsonb_to_recordset(%s::jsonb) AS a (
        message uuid, number int, route bigint, started_at timestamptz, duration_ms int,
        phase text, outcome text, kind text, reply_code int, enhanced_status text,
        reply_text text, transport_id text)
)
INSERT INTO sending_event
    (message_id, kind, status_before, status_after, occurred_at, attempt_number, detail)
SELECT id, status, before, status, statement_timestamp(), number, detail FROM moved
"""

SETTLES_UNKNOWN = sorted(TRANSITIONS[Status.UNKNOWN] & TRANSITIONS[Status.SENDING])


def claim_due(*, limit: int, claim: int, lease: timedelta) -> list[UUID]:
    """Move up to `limit` due messages to ``sending`` and return their ids."""
    return [row[0] for row in _execute(CLAIM, [limit, claim, lease.total_seconds()])]


def begin_handoff(held: Sequence[tuple[UUID, int]], *, lease: timedelta) -> list[tuple[UUID, int]]:
    """Mark the hand-off of what is still held, and return that."""
    ids = _id_list(message_id for message_id, _ in held)
    rows = json.dumps([{"id": str(message_id), "claim": claim} for message_id, claim in held])
    granted = _execute(HANDOFF, [rows, ids, lease.total_seconds(), ids])
    return [(message_id, claim) for message_id, claim in granted]


def record(outcomes: Sequence[Outcome]) -> None:
    """Write attempts, states and events of outcomes whose edge from ``sending`` was checked."""
    ids = _id_list(row.message_id for row in outcomes)
    rows = json.dumps([_outcome_row(row) for row in outcomes])
    attempts = json.dumps(
        [dict(zip(ATTEMPT_FIELDS, row, strict=True)) for row in attempt_rows(outcomes)],
        default=str,  # ids and times
    )
    _execute(RECORD, [rows, ids, SETTLES_UNKNOWN, ids, attempts])


def _outcome_row(row: Outcome) -> dict[str, Any]:
    reason = storable(row.reason)
    return {
        "id": str(row.message_id),
        "claim": row.claim,
        "number": row.attempt_number,
        "status": str(row.status),
        "reason": "" if row.status == Status.SENT else reason[:REASON_LENGTH],
        "detail": reason[:DETAIL_LENGTH],
        "delay": None if row.delay is None else row.delay.total_seconds(),
        "is_try": row.is_try,
    }


def _id_list(ids: Iterable[UUID]) -> str:
    return "{" + ",".join(map(str, ids)) + "}"


def _execute(statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    """Run a statement that is prepared once on each connection; planning costs more than running.

    Django's own cursor puts the values into the text, so that it is planned anew every time.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement, parameters, prepare=True)
        return cursor.fetchall() if cursor.description else []
