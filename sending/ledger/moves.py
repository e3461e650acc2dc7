"""Accept messages, and move them outside the run of the queue: by time and by people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from sending.ledger.facts import MAX_LAPSES, require_edge
from sending.ledger.portable import held_by
from sending.ledger.rows import (
    REASON_LENGTH,
    append_changes,
    database_now,
    insert_messages,
)
from sending.models import AmbiguityPolicy, Message, Status
from sending.models.event import TRANSITIONS
from sending.models.message import WAITING

# A sweep moves no more than this in one transaction; the next one goes on.
MOVED_AT_ONCE = 10_000


def accept(messages: Sequence[Message]) -> None:
    """Store new messages, queued or suppressed, each with the first event of its history."""
    for message in messages:
        require_edge("", message.status)
    with transaction.atomic(savepoint=False):
        insert_messages(messages)
        append_changes(
            (message.id, "", message.status, message.accepted_at, None, message.reason)
            for message in messages
        )


def release(held: Sequence[tuple[UUID, int]]) -> None:
    """Give back claims of which nothing was tried, as if they had not been made."""
    _move(
        held_by(held) & Q(handed_off_at=None),
        Status.QUEUED,
        reason="The worker stopped before it tried.",
        next_attempt_at=Now(),
        attempt_count=F("attempt_count") - 1,
    )


def release_claim(claim: int, *, except_ids: Collection[UUID]) -> None:
    """Give back what was claimed under this number, except the messages that are on their way."""
    _move(
        Q(claim=claim, handed_off_at=None) & ~Q(id__in=except_ids),
        Status.QUEUED,
        reason="The worker could not go on; it is tried again.",
        next_attempt_at=Now(),
        attempt_count=F("attempt_count") - 1,
    )


def reap() -> int:
    """Free the messages whose worker went silent; return how many.

    Before the hand-off a retry cannot make a second copy, so they are queued again, until
    `MAX_LAPSES` show that the message itself ends its workers. After it, the policy of the key
    decides between another try and waiting as unknown.
    """
    lapsed = Q(lease_until__lte=database_now())
    was_handed_off = Q(handed_off_at__isnull=False)
    is_last = Q(lapse_count__gte=MAX_LAPSES - 1)
    is_held = was_handed_off & (
        Q(api_key__sending_profile__ambiguity_policy=AmbiguityPolicy.HOLD) | is_last
    )
    return (
        _move(
            lapsed & is_held,
            Status.UNKNOWN,
            reason="The worker ended after the hand-off; the message may have arrived.",
        )
        + _move(
            lapsed & ~was_handed_off & is_last,
            Status.FAILED,
            reason=f"Poison: {MAX_LAPSES} workers ended while they had this message.",
        )
        + _move(
            lapsed & ~is_last & ~is_held,
            Status.QUEUED,
            reason="The worker went silent; it is tried again.",
            next_attempt_at=Now(),
            lapse_count=F("lapse_count") + 1,
        )
    )


def expire() -> int:
    """End the waiting messages whose lifetime is over; return how many."""
    overdue = Q(status__in=WAITING, expires_at__lte=Now(), next_attempt_at__lte=Now())
    moved = 0
    for status in WAITING:
        moved += _move(
            overdue, Status.EXPIRED, reason="not accepted within its lifetime", before=status
        )
    return moved


def requeue(message_ids: Collection[UUID], *, detail: str) -> int:
    """Send ended messages once more, with a new lifetime; return how many could be.

    Only states that a second try can follow are moved (failed, rejected, bounced, expired,
    unknown); the others are left as they are.
    """
    lifetime = timedelta(hours=settings.QUEUE_LIFETIME_HOURS)
    moved = 0
    with transaction.atomic():
        for status, afters in TRANSITIONS.items():
            if Status.QUEUED in afters and status not in ("", Status.SENDING):
                moved += _move(
                    Q(id__in=message_ids),
                    Status.QUEUED,
                    reason=detail,
                    before=status,
                    next_attempt_at=Now(),
                    expires_at=Now() + lifetime,
                    attempt_count=0,
                    lapse_count=0,
                    **_forget_handoff(status),
                )
    return moved


def cancel(message_ids: Collection[UUID], *, detail: str) -> int:
    """Stop waiting messages; return how many were still waiting."""
    with transaction.atomic():
        return sum(
            _move(Q(id__in=message_ids), Status.CANCELED, reason=detail, before=status)
            for status in WAITING
        )


def mark_delivered(message_ids: Collection[UUID], *, detail: str) -> int:
    """Settle unknown messages that somebody knows to have arrived; return how many were unknown."""
    return _move(Q(id__in=message_ids), Status.DELIVERED, reason=detail, before=Status.UNKNOWN)


def hasten(*, reason_prefix: str) -> int:
    """Let deferred messages whose reason begins like this come due now; return how many."""
    return Message.objects.filter(
        status=Status.DEFERRED, reason__startswith=reason_prefix, next_attempt_at__gt=Now()
    ).update(next_attempt_at=Now())


def hasten_limited() -> int:
    """Let every message that waits for a limit ask again now; return how many wait.

    To be called when the limits change: their times were given under the limits before.
    """
    waiting = Message.objects.filter(status=Status.DEFERRED, is_limited=True)
    return waiting.update(next_attempt_at=Now())


def _forget_handoff(status: str) -> dict[str, object]:
    """Return the changes by which late reports on a copy with a known end are not on the next."""
    return {} if status in (Status.UNKNOWN, Status.EXPIRED) else {"handed_off_at": None}


def _move(
    condition: Q, after: Status, *, reason: str, before: str = Status.SENDING, **changes: object
) -> int:
    """Move every row of `condition` along one edge, with its event; return how many."""
    require_edge(before, after)
    with transaction.atomic():
        rows = list(
            Message.objects.select_for_update(of=("self",))
            .filter(condition, status=before)
            .order_by("id")
            .values_list("id", "attempt_count")[:MOVED_AT_ONCE]
        )
        if not rows:
            return 0
        Message.objects.filter(id__in=[row[0] for row in rows]).update(
            status=after,
            status_at=Now(),
            reason=reason[:REASON_LENGTH],
            lease_until=None,
            **({"next_attempt_at": None} | changes),
        )
        now = database_now()
        append_changes((row[0], before, after, now, row[1] or None, reason) for row in rows)
    return len(rows)
