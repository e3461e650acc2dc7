"""Do the work of the queue on PostgreSQL: one statement for each step, whatever the number of rows.

SKIP LOCKED lets any number of workers claim side by side. Only the clock of the database is used,
so that the clocks of the workers' hosts cannot matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection
from django.db.models import DateTimeField
from django.db.models.base import ModelState

from sending.ledger.facts import MAY_BECOME_SENT, AttemptFacts, Outcome
from sending.ledger.rows import DETAIL_LENGTH, REASON_LENGTH, UNREAD, storable
from sending.ledger.statements import execute
from sending.models import Message, Priority, Status
from sending.models.event import TRANSITIONS
from sending.models.message import SUSPECT_LAPSES

# Those accepted one by one come before those of batches; of each, the keys in a list are passed
# over. The limit is part of the text, for the planner has to know that it is small; so is the
# condition on the lapses, which has an index of its own.
CLAIM = """
WITH one_by_one AS (
    SELECT id, status FROM sending_message
    WHERE status IN ('queued', 'deferred') AND priority = 0
        AND api_key_id <> ALL(%s::uuid[]) AND {lapses}
        AND next_attempt_at <= statement_timestamp() AND expires_at > statement_timestamp()
    ORDER BY next_attempt_at
    LIMIT {limit}
    FOR UPDATE SKIP LOCKED
), of_batches AS (
    SELECT id, status FROM sending_message
    WHERE status IN ('queued', 'deferred') AND priority = 1
        AND api_key_id <> ALL(%s::uuid[]) AND {lapses}
        AND next_attempt_at <= statement_timestamp() AND expires_at > statement_timestamp()
    ORDER BY next_attempt_at
    LIMIT {limit}
    FOR UPDATE SKIP LOCKED
), due AS (
    SELECT * FROM one_by_one UNION ALL SELECT * FROM of_batches LIMIT {limit}
), claimed AS (
    UPDATE sending_message AS message
    SET status = 'sending', status_at = statement_timestamp(), reason = '', next_attempt_at = NULL,
        attempt_count = attempt_count + 1, claim = %s, handed_off_at = NULL,
        lease_until = statement_timestamp() + make_interval(secs => %s)
    FROM due WHERE message.id = due.id
    RETURNING message.*, due.status AS before
), noted AS (
    INSERT INTO sending_event
        (message_id, kind, status_before, status_after, occurred_at, attempt_number, detail)
    SELECT id, 'sending', before, 'sending', statement_timestamp(), attempt_count, '' FROM claimed
)
SELECT {columns} FROM claimed ORDER BY priority, id
"""

# Each row is visited once. The ids come as a list of their own, which alone tells the planner that
# they are few, and in order: it reads either that list or the index of what is held from its
# beginning, so that two who write do not wait for each other's rows. The commit need not wait for
# the disk: the marker has to survive the death of this worker, and it does; should the database
# itself fail, this worker still knows. Should both, the message is sent again, as the policy
# allows; where it forbids that, the marker must last. The setting ends with the transaction of
# this statement.
HANDOFF = """
WITH quick AS MATERIALIZED (
    SELECT set_config(
        'synchronous_commit',
        CASE WHEN %s::boolean THEN current_setting('synchronous_commit') ELSE 'off' END,
        true
    )
)
UPDATE sending_message AS message
SET handed_off_at = statement_timestamp(),
    lease_until = statement_timestamp() + make_interval(secs => %s)
FROM quick, unnest(%s::uuid[], %s::bigint[]) AS mine (id, claim)
WHERE message.id = mine.id AND message.id = ANY(%s::uuid[]) AND message.claim = mine.claim
    AND message.status = 'sending' AND message.lease_until > statement_timestamp()
RETURNING message.id, message.claim
"""

# The rows come as one JSON value: making twenty arrays takes longer than the server reads it. An
# attempt keeps no route that was removed meanwhile.
_OUTCOMES = """json_to_recordset(%s::json) AS o (
        id uuid, claim bigint, number int, status text, reason text, detail text, delay float,
        is_try boolean, route bigint, started_at timestamptz, duration_ms int, phase text,
        kind text, reply_code int, enhanced_status text, reply_text text, transport_id text)"""
_CHANGES = """status = outcome.status, status_at = statement_timestamp(),
        reason = outcome.reason, lease_until = NULL, lapse_count = 0,
        next_attempt_at = statement_timestamp() + make_interval(secs => outcome.delay),
        is_limited = NOT outcome.is_try,
        attempt_count = attempt_count - CASE WHEN outcome.is_try THEN 0 ELSE 1 END,
        expires_at = CASE WHEN outcome.is_try THEN expires_at
            ELSE expires_at + make_interval(secs => outcome.delay) END"""
_ATTEMPTS = """INSERT INTO sending_attempt
        (message_id, number, route_id, started_at, duration_ms, phase, outcome, kind, reply_code,
         enhanced_status, reply_text, transport_id)
    SELECT id, number, (SELECT known.id FROM sending_route AS known WHERE known.id = route),
        started_at, duration_ms, phase, status, kind, reply_code, enhanced_status, reply_text,
        transport_id
    FROM {source} WHERE phase IS NOT NULL
    ON CONFLICT (message_id, number, started_at) DO NOTHING"""


def _filled_in(statement: str, *, source: str) -> str:
    """Write what both statements do alike into one, whose attempts come from `source`."""
    return (
        statement.replace("{outcomes}", _OUTCOMES)
        .replace("{changes}", _CHANGES)
        .replace("{attempts}", _ATTEMPTS.replace("{source}", source))
    )


# What is still held as it was claimed, which is nearly all: each row is visited once.
RECORD = _filled_in(
    """
WITH moved AS (
    UPDATE sending_message AS message
    SET {changes}
    FROM (SELECT * FROM {outcomes}) AS outcome
    WHERE message.id = outcome.id AND message.id = ANY(%s::uuid[])
        AND message.claim = outcome.claim AND message.status = 'sending'
    RETURNING outcome.*
), attempted AS (
    {attempts}
), told AS (
    INSERT INTO sending_event
        (message_id, kind, status_before, status_after, occurred_at, attempt_number, detail)
    SELECT id, status, 'sending', status, statement_timestamp(), number, detail FROM moved
)
SELECT id FROM moved
""",
    source="moved",
)

# What others moved meanwhile.
RECORD_LATE = _filled_in(
    """
WITH outcome AS MATERIALIZED (
    SELECT * FROM {outcomes}
), held AS (
    SELECT message.id, message.status AS before FROM sending_message AS message
    JOIN outcome ON message.id = outcome.id
    WHERE message.id = ANY(%s::uuid[]) AND (
        message.claim = outcome.claim AND (
            message.status = 'sending'
            OR message.status = 'unknown' AND outcome.status = ANY(%s::text[])
        )
        OR outcome.status = 'sent' AND message.status = ANY(%s::text[])
    )
    ORDER BY message.id
    FOR UPDATE OF message
), moved AS (
    UPDATE sending_message AS message
    SET {changes}
    FROM outcome JOIN held ON held.id = outcome.id
    WHERE message.id = outcome.id AND message.id = ANY(%s::uuid[])
    RETURNING message.id, held.before, outcome.status, outcome.number, outcome.detail
), attempted AS (
    {attempts}
)
INSERT INTO sending_event
    (message_id, kind, status_before, status_after, occurred_at, attempt_number, detail)
SELECT id, status, before, status, statement_timestamp(), number, detail FROM moved
""",
    source="outcome",
)

# What a delivery reads; the times, which take long to read, are left for whoever asks for them.
COLUMNS = [
    field.attname
    for field in Message._meta.concrete_fields
    if field.name not in UNREAD
    and (not isinstance(field, DateTimeField) or field.name == "accepted_at")
]


def _list(items: Iterable[object]) -> str:
    """Write an array as PostgreSQL reads it."""
    return "{" + ",".join([one.hex if isinstance(one, UUID) else str(one) for one in items]) + "}"


SETTLES_UNKNOWN = _list(sorted(TRANSITIONS[Status.UNKNOWN] & TRANSITIONS[Status.SENDING]))
SETTLED_BY_ACCEPTANCE = _list(sorted(MAY_BECOME_SENT))


def claim_due(
    *,
    limit: int,
    claim: int,
    lease: timedelta,
    passing_over: dict[Priority, set[UUID]],
    suspects: bool,
) -> list[Message]:
    """Move up to `limit` due messages to ``sending`` and return them."""
    statement = CLAIM.format(
        limit=int(limit),
        columns=", ".join(map(_as_read, COLUMNS)),
        lapses=f"lapse_count {'>=' if suspects else '<'} {SUSPECT_LAPSES}",
    )
    attribs_at, accepted_at = COLUMNS.index("attribs"), COLUMNS.index("accepted_at")
    messages, alias = [], connection.alias
    passed_over = [_list(passing_over.get(priority, ())) for priority in Priority]
    for row in _claimed(statement, [*passed_over, claim, lease.total_seconds()]):
        values = list(row)
        values[attribs_at] = _parse_attribs(values[attribs_at])
        values[accepted_at] = values[accepted_at].replace(tzinfo=UTC)
        messages.append(_message_of(values, alias=alias))
    return messages


def _message_of(values: Sequence[Any], *, alias: str) -> Message:
    """Return what `Message.from_db` returns, which goes through all fields, of what was read."""
    message = Message.__new__(Message)
    message.__dict__ = dict(zip(COLUMNS, values, strict=True))
    message._state = ModelState()
    message._state.adding = False
    message._state.db = alias
    return message


def _claimed(statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    """Return the rows as psycopg reads them, which it does faster than Python."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return cursor.execute(statement, parameters, prepare=True).fetchall()


def _as_read(column: str) -> str:
    """Read a time without its zone: psycopg needs long to give it one."""
    return f"{column} AT TIME ZONE 'UTC'" if column == "accepted_at" else column


@lru_cache(maxsize=64)
def _parse_attribs(text: str) -> dict[str, Any]:
    """Parse what the messages of a batch have in common once; nobody changes it."""
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def begin_handoff(
    held: Sequence[tuple[UUID, int]], *, lease: timedelta, must_last: bool
) -> list[tuple[UUID, int]]:
    """Mark the hand-off of what is still held, and return that."""
    in_order = sorted(held)
    ids = _list(message_id for message_id, _ in in_order)
    claims = _list(claim for _, claim in in_order)
    seconds = str(lease.total_seconds())
    granted = execute(HANDOFF, [str(must_last), seconds, ids, claims, ids])
    if len(granted) == len(held):  # as a rule: nothing has to be read
        return list(held)
    return [(UUID(message_id), int(claim)) for message_id, claim in granted]


def record(outcomes: Sequence[Outcome]) -> None:
    """Write attempts, states and events of outcomes whose edge from ``sending`` was checked.

    No message may have two outcomes here. Outside a transaction, those of messages that others
    moved meanwhile are written in a second one.
    """
    in_order = sorted(outcomes, key=lambda row: row.message_id)
    moved = {UUID(message_id) for (message_id,) in execute(RECORD, _written(in_order))}
    late = [row for row in in_order if row.message_id not in moved]
    if late:
        rows, ids = _written(late)
        execute(RECORD_LATE, [rows, ids, SETTLES_UNKNOWN, SETTLED_BY_ACCEPTANCE, ids])


def _written(outcomes: Sequence[Outcome]) -> list[str]:
    """Write outcomes, and the ids of their messages, as the statements read them."""
    rows = json.dumps([_outcome_row(row) for row in outcomes])
    return [rows, _list(row.message_id for row in outcomes)]


def _outcome_row(row: Outcome) -> dict[str, Any]:
    reason = storable(row.reason)
    return {
        "id": row.message_id.hex,
        "claim": row.claim,
        "number": row.attempt_number,
        "status": row.status,
        "reason": "" if row.status == Status.SENT else reason[:REASON_LENGTH],
        "detail": reason[:DETAIL_LENGTH],
        "delay": None if row.delay is None else row.delay.total_seconds(),
        "is_try": row.is_try,
        **(_attempt_row(row.attempt) if row.attempt else {}),
    }


def _attempt_row(facts: AttemptFacts) -> dict[str, Any]:
    return {
        "route": facts.route_id,
        "started_at": facts.started_at.isoformat(),
        "duration_ms": facts.duration_ms,
        "phase": facts.phase,
        "kind": facts.kind,
        "reply_code": facts.reply.code,
        "enhanced_status": storable(facts.reply.enhanced)[:12],
        "reply_text": storable(facts.reply.text)[:1000],
        "transport_id": storable(facts.transport_id)[:255],
    }
