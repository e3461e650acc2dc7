"""Write the status, the attempts and the events of messages: the only module that does.

Every change of status and its event are one transaction, the edge is looked up in
`TRANSITIONS`, and the clock is the database's. Functions take many messages at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from sending import bulk, claims
from sending.errors import Phase, Reply
from sending.models import AmbiguityPolicy, Attempt, Event, Message, Status
from sending.models.event import TRANSITIONS
from sending.models.message import WAITING

MAX_LAPSES = 5
AFTER_HANDOFF_GRACE = timedelta(seconds=30)
REASON_LENGTH = Message._meta.get_field("reason").max_length
DETAIL_LENGTH = Event._meta.get_field("detail").max_length

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
    "message_id",
    "status",
    "reason",
    "accepted_at",
    "status_at",
    "expires_at",
    "next_attempt_at",
    "attempt_count",
)
FOREIGN_KEYS = {"api_key": "api_key_id", "template_version": "template_version_id"}
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


class IllegalTransition(Exception):
    """A status was asked to move along an edge that the state machine does not have."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one claimed message.

    `delay`: how long a deferred message waits. `attempt`: None when nothing was tried on the wire.
    """

    message_id: UUID
    claim: int
    attempt_number: int
    status: Status
    reason: str = ""
    delay: timedelta | None = None
    attempt: AttemptFacts | None = None


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """What one try on the wire was like."""

    route_id: int
    started_at: datetime
    duration_ms: int
    phase: Phase
    reply: Reply
    kind: str = ""
    transport_id: str = ""


def database_now() -> datetime:
    """Return the time by the clock that all due times and leases are compared with."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT statement_timestamp()")
            return cursor.fetchone()[0]
    # SQLite has this host's clock, and tells it in milliseconds.
    now = timezone.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def accept(messages: Sequence[Message]) -> None:
    """Store new messages, queued or suppressed, each with the first event of its history."""
    for message in messages:
        _require_edge("", message.status)
    with transaction.atomic():
        bulk.insert(
            Message,
            fields=MESSAGE_FIELDS,
            rows=[[getattr(message, name) for name in MESSAGE_ATTRIBUTES] for message in messages],
        )
        _append(
            (message.id, "", message.status, message.accepted_at, None, message.reason)
            for message in messages
        )


def claim(*, limit: int) -> list[Message]:
    """Take hold of up to `limit` due messages for `LEASE_SECONDS` and return them, oldest first."""
    number = claims.new_claim()
    lease = timedelta(seconds=settings.LEASE_SECONDS)
    with transaction.atomic():
        before = claims.claim_due(limit=limit, claim=number, lease=lease)
        claimed = list(Message.objects.filter(id__in=before).order_by("id")) if before else []
        _append(
            (row.id, before[row.id], Status.SENDING, row.status_at, row.attempt_count, "")
            for row in claimed
        )
    return claimed


def begin_handoff(held: Iterable[tuple[UUID, int]], *, patience: timedelta) -> set[UUID]:
    """Mark that the bodies of these (id, claim) go out now; return the ids that may.

    An id that is missing from the answer belongs to somebody else by now. The lease is extended
    to the `patience` of the transport, so that nobody else acts before the answer can be there.
    """
    mine = _held(held)
    if mine is None:
        return set()
    with transaction.atomic():
        granted = set(
            Message.objects.select_for_update()
            .filter(mine, status=Status.SENDING, lease_until__gt=Now())
            .order_by("id")
            .values_list("id", flat=True)
        )
        Message.objects.filter(id__in=granted).update(
            handed_off_at=Now(), lease_until=Now() + patience + AFTER_HANDOFF_GRACE
        )
    return granted


def extend_leases(held: Iterable[tuple[UUID, int]]) -> None:
    """Keep hold of messages that wait for a free connection; ended leases stay ended."""
    mine = _held(held)
    if mine is not None:
        Message.objects.filter(
            mine, status=Status.SENDING, lease_until__gt=Now(), handed_off_at=None
        ).update(lease_until=Now() + timedelta(seconds=settings.LEASE_SECONDS))


def record(outcomes: Sequence[Outcome]) -> None:
    """Write what became of claimed messages, in one transaction.

    An outcome whose claim has ended changes no status, except that it settles a message that is
    held as unknown; its attempt is written down all the same.
    """
    with transaction.atomic():
        before = _lock_claimed(outcomes)
        mine = [row for row in outcomes if row.message_id in before]
        changed = [row for row in mine if _may_follow(before[row.message_id], row.status)]
        _move_by_group(changed)
        bulk.insert(
            Attempt,
            fields=ATTEMPT_FIELDS,
            rows=[_attempt_row(row, row.attempt) for row in outcomes if row.attempt],
        )
        now = database_now()
        _append(
            (
                row.message_id,
                before[row.message_id],
                row.status,
                now,
                row.attempt_number,
                row.reason,
            )
            for row in changed
        )


def release(held: Iterable[tuple[UUID, int]]) -> None:
    """Give back claims of which nothing was tried, as if they had not been made."""
    mine = _held(held)
    if mine is not None:
        _move(
            mine & Q(handed_off_at=None),
            Status.QUEUED,
            reason="The worker stopped before it tried.",
            next_attempt_at=Now(),
            attempt_count=F("attempt_count") - 1,
        )


def reap() -> int:
    """Free the messages whose worker went silent; return how many.

    Before the hand-off a retry cannot make a second copy, so they are queued again, until
    `MAX_LAPSES` show that the message itself ends its workers. After it, the policy of the key
    decides between another try and waiting as unknown.
    """
    lapsed = Q(lease_until__lte=Now())
    is_last = Q(lapse_count__gte=MAX_LAPSES - 1)
    is_held = Q(api_key__sending_profile__ambiguity_policy=AmbiguityPolicy.HOLD)
    return (
        _move(
            lapsed & Q(handed_off_at__isnull=False) & (is_held | is_last),
            Status.UNKNOWN,
            reason="The worker ended after the hand-off; the message may have arrived.",
        )
        + _move(
            lapsed & Q(handed_off_at=None) & is_last,
            Status.FAILED,
            reason=f"Poison: {MAX_LAPSES} workers ended while they had this message.",
        )
        + _move(
            lapsed,
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
                )
    return moved


def cancel(message_ids: Collection[UUID], *, detail: str) -> int:
    """Stop waiting messages; return how many were still waiting."""
    with transaction.atomic():
        return sum(
            _move(Q(id__in=message_ids), Status.CANCELED, reason=detail, before=status)
            for status in WAITING
        )


def report(
    message: Message, *, kind: str, status: Status | None, now: datetime, detail: str
) -> None:
    """Write down a fact that reached us later; move the status when that is an edge.

    `status` None, or not reachable from where the message stands: the fact changes no status.
    """
    with transaction.atomic():
        locked = Message.objects.select_for_update().get(pk=message.pk)
        before = locked.status
        after = status if status is not None and status in TRANSITIONS[before] else None
        if after is not None:
            Message.objects.filter(pk=locked.pk).update(
                status=after, status_at=Now(), reason=detail[:REASON_LENGTH], lease_until=None
            )
        bulk.insert(
            Event,
            fields=EVENT_FIELDS,
            rows=[
                (
                    message.pk,
                    kind,
                    before if after else "",
                    after or "",
                    now,
                    None,
                    detail[:DETAIL_LENGTH],
                )
            ],
        )


def _require_edge(before: str, after: str) -> None:
    if after not in TRANSITIONS[before]:
        raise IllegalTransition(f"A message cannot go from {before or 'nothing'} to {after}.")


def _held(held: Iterable[tuple[UUID, int]]) -> Q | None:
    """Return the condition that a row is one of these (id, claim), None when there are none."""
    by_claim: dict[int, list[UUID]] = defaultdict(list)
    for message_id, number in held:
        by_claim[number].append(message_id)
    condition: Q | None = None
    for number, ids in by_claim.items():
        one = Q(claim=number, id__in=ids)
        condition = one if condition is None else condition | one
    return condition


def _lock_claimed(outcomes: Sequence[Outcome]) -> dict[UUID, str]:
    """Return the status of the rows that still belong to their outcome."""
    mine = _held((row.message_id, row.claim) for row in outcomes)
    if mine is None:
        return {}
    return dict(
        Message.objects.select_for_update()
        .filter(mine, status__in=(Status.SENDING, Status.UNKNOWN))
        .order_by("id")
        .values_list("id", "status")
    )


def _may_follow(before: str, after: str) -> bool:
    """Tell whether a result still changes anything; one that never could is a defect."""
    _require_edge(Status.SENDING, after)
    return after in TRANSITIONS[before]


def _move_by_group(outcomes: Iterable[Outcome]) -> None:
    """Update the rows with one statement for all that end alike; most are simply sent."""
    groups: dict[tuple[Status, str, timedelta | None], list[UUID]] = defaultdict(list)
    for row in outcomes:
        reason = "" if row.status == Status.SENT else row.reason[:REASON_LENGTH]
        groups[row.status, reason, row.delay].append(row.message_id)
    for (status, reason, delay), ids in groups.items():
        Message.objects.filter(id__in=ids).update(
            status=status,
            status_at=Now(),
            reason=reason,
            lease_until=None,
            lapse_count=0,
            next_attempt_at=None if delay is None else Now() + delay,
        )


def _move(
    condition: Q, after: Status, *, reason: str, before: str = Status.SENDING, **changes: object
) -> int:
    """Move every row of `condition` along one edge, with its event; return how many."""
    _require_edge(before, after)
    with transaction.atomic():
        rows = list(
            Message.objects.select_for_update(of=("self",))
            .filter(condition, status=before)
            .order_by("id")
            .values_list("id", "attempt_count")
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
        _append((row[0], before, after, now, row[1] or None, reason) for row in rows)
    return len(rows)


def _append(
    rows: Iterable[tuple[UUID, str, str, datetime, int | None, str]],
) -> None:
    """Append a change of status for each (id, before, after, time, attempt, detail)."""
    bulk.insert(
        Event,
        fields=EVENT_FIELDS,
        rows=[
            (message_id, after, before, after, at, number, detail[:DETAIL_LENGTH])
            for message_id, before, after, at, number, detail in rows
        ],
    )


def _attempt_row(outcome: Outcome, facts: AttemptFacts) -> tuple[object, ...]:
    return (
        outcome.message_id,
        outcome.attempt_number,
        facts.route_id,
        facts.started_at,
        facts.duration_ms,
        facts.phase,
        outcome.status,
        facts.kind,
        facts.reply.code,
        facts.reply.enhanced[:12],
        facts.reply.text.replace("\0", "")[:1000],
        facts.transport_id[:255],
    )
