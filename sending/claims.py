"""Take hold of due messages: SKIP LOCKED on PostgreSQL, the one write lock of SQLite elsewhere.

Only the clock of the database is used, so that the clocks of the workers' hosts cannot matter.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from sending.models import Message, Status
from sending.models.message import WAITING

CLAIM_WITH_SKIP_LOCKED = """
WITH due AS (
    SELECT id, status FROM sending_message
    WHERE status IN ('queued', 'deferred') AND next_attempt_at <= statement_timestamp()
    ORDER BY next_attempt_at
    LIMIT %s
    FOR UPDATE SKIP LOCKED
)
UPDATE sending_message AS message
SET status = 'sending', status_at = statement_timestamp(), reason = '', next_attempt_at = NULL,
    attempt_count = attempt_count + 1, claim = %s, handed_off_at = NULL,
    lease_until = statement_timestamp() + make_interval(secs => %s)
FROM due WHERE message.id = due.id
RETURNING message.id, due.status
"""


def new_claim() -> int:
    """Return a number that no other claim has (63 random bits)."""
    return secrets.randbits(63)


def claim_due(*, limit: int, claim: int, lease: timedelta) -> dict[UUID, str]:
    """Move up to `limit` due messages to ``sending`` and return each one's status before.

    No message is ever returned to two callers. Runs in the caller's transaction.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(CLAIM_WITH_SKIP_LOCKED, [limit, claim, lease.total_seconds()])
            return dict(cursor.fetchall())
    return _claim_under_write_lock(limit=limit, claim=claim, lease=lease)


def _claim_under_write_lock(*, limit: int, claim: int, lease: timedelta) -> dict[UUID, str]:
    with transaction.atomic():
        due = dict(
            Message.objects.filter(status__in=WAITING, next_attempt_at__lte=Now())
            .order_by("next_attempt_at")
            .values_list("id", "status")[:limit]
        )
        Message.objects.filter(id__in=due).update(
            status=Status.SENDING,
            status_at=Now(),
            reason="",
            next_attempt_at=None,
            attempt_count=F("attempt_count") + 1,
            claim=claim,
            handed_off_at=None,
            lease_until=Now() + lease,
        )
    return due
