"""Take messages out of the queue whose recipients may get no mail any more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower, Now

from sending import screening
from sending.ledger.facts import require_edge
from sending.ledger.rows import REASON_LENGTH, append_changes, database_now
from sending.models import Message, Status
from sending.models.message import WAITING

# What may be stopped still: from the hand-off on, the next hop may own it.
STOPPABLE = Q(status__in=WAITING) | Q(status=Status.SENDING, handed_off_at=None)
IS_ASCII = r"^[ -~]*$"


def withdraw(recipients: Collection[str]) -> int:
    """Suppress the waiting messages to `recipients`, as they are written, that are forbidden now.

    Found by the index of the recipients. Returns how many there were.
    """
    return _withdraw(Message.objects.filter(recipient__in=recipients, status__in=WAITING))


def withdraw_held(addresses: Collection[str] | None) -> int:
    """Suppress the messages to these case-folded addresses that workers hold, if still possible.

    The hand-off asks for the row as this changes it: one of the two comes first, and no body goes
    out afterwards. However the recipient was written: the few messages that are held are read one
    by one. None: to whomever they go. Returns how many there were.
    """
    held = Message.objects.filter(status=Status.SENDING, handed_off_at=None)
    if addresses is not None:
        held = held.annotate(lowered=Lower("recipient")).filter(
            Q(lowered__in=addresses) | ~Q(recipient__regex=IS_ASCII)
        )
    return _withdraw(held)


def _withdraw(messages: QuerySet[Message]) -> int:
    """Move those of `messages` that are forbidden and may be stopped; return how many."""
    with transaction.atomic():
        blocked = screening.screen(list(messages.only(*screening.SCREENED)))
        if not blocked:
            return 0
        rows = list(
            Message.objects.select_for_update()
            .filter(STOPPABLE, id__in=blocked)
            .order_by("id")
            .values_list("id", "status", "attempt_count")
        )
        for _, before, _ in rows:
            require_edge(before, Status.SUPPRESSED)
        _mark((message_id, str(blocked[message_id])) for message_id, _, _ in rows)
        now = database_now()
        append_changes(
            (message_id, before, Status.SUPPRESSED, now, tries or None, str(blocked[message_id]))
            for message_id, before, tries in rows
        )
    return len(rows)


def _mark(reasons: Iterable[tuple[UUID, str]]) -> None:
    """Update the rows, those with the same reason together."""
    alike: dict[str, list[UUID]] = defaultdict(list)
    for message_id, reason in reasons:
        alike[reason].append(message_id)
    for reason, ids in alike.items():
        Message.objects.filter(id__in=ids).update(
            status=Status.SUPPRESSED,
            status_at=Now(),
            reason=reason[:REASON_LENGTH],
            lease_until=None,
            next_attempt_at=None,
        )
