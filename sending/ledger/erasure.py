"""Take out of messages and their history what tells of their recipient, and leave what is counted.

It is the one place that edits the event log: who, what and in which words goes; that it happened,
and when, stays.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from sending.models import Attempt, BulkPlace, Event, Message, ReportedBounce, Status
from sending.models.suppression import Reason

_reply_of = re.compile(r"(?:(\d{3})(?![\d.]))?[ -]*(\d\.\d{1,3}\.\d{1,3})?(?![\d.])").match
_verdict_of = re.compile(rf"({'|'.join(map(re.escape, Reason.values))}): ").match


def bare(detail: str) -> str:
    """Return what the detail of an event says in figures, or by which order it was stopped."""
    verdict = _verdict_of(detail)
    if verdict is not None:
        return verdict[1]
    reply = _reply_of(detail)
    return " ".join(part for part in reply.groups() if part) if reply else ""


def anonymise(message_ids: Collection[UUID], *, recipient: str) -> int:
    """Let the messages that are at rest be to `recipient`, a pseudonym; return how many there were.

    The domain of the recipient, the times, the states and the codes of replies stay, since they
    are counted; whoever counts variants and tags takes these messages out first. Idempotent.
    """
    with transaction.atomic():
        at_rest = Message.objects.select_for_update().filter(
            ~Q(status=Status.SENDING), id__in=message_ids
        )
        reasons = dict(at_rest.order_by("id").values_list("id", "reason"))
        by_reason: dict[str, list[UUID]] = defaultdict(list)
        for message_id, reason in reasons.items():
            by_reason[bare(reason)].append(message_id)
        for reason, ids in by_reason.items():
            Message.objects.filter(id__in=ids).update(
                recipient=recipient, subject="", attribs={}, variant="", tags=[], reason=reason
            )
        _bare_events(reasons)
        Attempt.objects.filter(message_id__in=reasons).update(reply_text="", transport_id="")
        ReportedBounce.objects.filter(message_id__in=reasons).delete()
        BulkPlace.objects.filter(message_id__in=reasons).delete()
    return len(reasons)


def _bare_events(message_ids: Collection[UUID]) -> None:
    told = Event.objects.filter(message_id__in=message_ids).exclude(detail="")
    by_detail: dict[str, list[int]] = defaultdict(list)
    for event_id, detail in told.values_list("id", "detail"):
        by_detail[bare(detail)].append(event_id)
    for detail, ids in by_detail.items():
        Event.objects.filter(id__in=ids).update(detail=detail)
