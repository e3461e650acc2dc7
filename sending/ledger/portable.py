"""Do the work of the queue on any database that Django knows.

SQLite has one writer at a time: a transaction takes its lock at BEGIN (see the settings), so that
reading and writing inside one is enough.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from sending.ledger.facts import MAY_BECOME_SENT, Outcome
from sending.ledger.rows import (
    REASON_LENGTH,
    UNREAD,
    append_changes,
    database_now,
    insert_attempts,
    storable,
)
from sending.models import Message, Priority, Status
from sending.models.event import TRANSITIONS
from sending.models.message import SUSPECT_LAPSES, WAITING


@transaction.atomic
def claim_due(
    *,
    limit: int,
    claim: int,
    lease: timedelta,
    passing_over: dict[Priority, set[UUID]],
    suspects: bool,
) -> list[Message]:
    """Move up to `limit` due messages to ``sending`` and return them."""
    now = database_now()
    passed_over = Q(pk__in=[])
    for priority, keys in passing_over.items():
        passed_over |= Q(priority=priority, api_key_id__in=keys)
    is_suspect = Q(lapse_count__gte=SUSPECT_LAPSES)
    wanted = (is_suspect if suspects else ~is_suspect) & ~passed_over
    due = list(
        Message.objects.select_for_update()
        .filter(wanted, status__in=WAITING, next_attempt_at__lte=Now(), expires_at__gt=Now())
        .order_by("priority", "next_attempt_at")
        .values_list("id", "status", "attempt_count")[:limit]
    )
    Message.objects.filter(id__in=[row[0] for row in due]).update(
        status=Status.SENDING,
        status_at=Now(),
        reason="",
        next_attempt_at=None,
        attempt_count=F("attempt_count") + 1,
        claim=claim,
        handed_off_at=None,
        lease_until=Now() + lease,
    )
    append_changes(
        (message_id, before, Status.SENDING, now, attempts + 1, "")
        for message_id, before, attempts in due
    )
    ids = [row[0] for row in due]
    claimed = Message.objects.filter(id__in=ids).defer(*UNREAD).order_by("priority", "id")
    return list(claimed) if ids else []


@transaction.atomic
def begin_handoff(
    held: Sequence[tuple[UUID, int]],
    *,
    lease: timedelta,
    must_last: bool,
) -> list[tuple[UUID, int]]:
    """Mark the hand-off of what is still held, and return that; it always lasts here."""
    granted = list(
        Message.objects.select_for_update()
        .filter(held_by(held), status=Status.SENDING, lease_until__gt=Now())
        .order_by("id")
        .values_list("id", "claim")
    )
    ids = [message_id for message_id, _ in granted]
    Message.objects.filter(id__in=ids).update(handed_off_at=Now(), lease_until=Now() + lease)
    return [(message_id, claim) for message_id, claim in granted if claim is not None]


def extend_leases(held: Sequence[tuple[UUID, int]], *, lease: timedelta) -> None:
    """Extend the leases that have not ended."""
    Message.objects.filter(
        held_by(held), status=Status.SENDING, lease_until__gt=Now(), handed_off_at=None
    ).update(lease_until=Now() + lease)


@transaction.atomic
def record(outcomes: Sequence[Outcome]) -> None:
    """Write attempts, states and events of outcomes whose edge from ``sending`` was checked.

    No message may have two outcomes here.
    """
    held = held_by((row.message_id, row.claim) for row in outcomes)
    accepted = [row.message_id for row in outcomes if row.status == Status.SENT]
    before = dict(
        Message.objects.select_for_update()
        .filter(
            held & Q(status__in=(Status.SENDING, Status.UNKNOWN))
            | Q(id__in=accepted, status__in=MAY_BECOME_SENT)
        )
        .order_by("id")
        .values_list("id", "status")
    )
    changed = [
        row
        for row in outcomes
        if row.message_id in before and row.status in TRANSITIONS[before[row.message_id]]
    ]
    _move_by_group(changed)
    insert_attempts(outcomes)
    now = database_now()
    append_changes(
        (row.message_id, before[row.message_id], row.status, now, row.attempt_number, row.reason)
        for row in changed
    )


def held_by(held: Iterable[tuple[UUID, int]]) -> Q:
    """Return the condition that a row is one of these (id, claim)."""
    by_claim: dict[int, list[UUID]] = defaultdict(list)
    for message_id, claim in held:
        by_claim[claim].append(message_id)
    condition = Q(pk__in=[])
    for claim, ids in by_claim.items():
        condition |= Q(claim=claim, id__in=ids)
    return condition


def _move_by_group(outcomes: Iterable[Outcome]) -> None:
    """Update the rows with one statement for all that end alike; most are simply sent."""
    groups: dict[tuple[Status, str, timedelta | None, bool], list[UUID]] = defaultdict(list)
    for row in outcomes:
        reason = "" if row.status == Status.SENT else storable(row.reason)[:REASON_LENGTH]
        groups[row.status, reason, row.delay, row.is_try].append(row.message_id)
    for (status, reason, delay, is_try), ids in groups.items():
        Message.objects.filter(id__in=ids).update(
            status=status,
            status_at=Now(),
            reason=reason,
            lease_until=None,
            lapse_count=0,
            next_attempt_at=None if delay is None else Now() + delay,
            is_limited=not is_try,
            **({} if is_try else _wait_without_try(delay)),
        )


def _wait_without_try(delay: timedelta | None) -> dict[str, Any]:
    """Return the changes that give the try back, and the lifetime that is spent waiting."""
    waited = delay or timedelta(0)
    return {"attempt_count": F("attempt_count") - 1, "expires_at": F("expires_at") + waited}
