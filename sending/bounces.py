"""Count the refusals of an address: one alone proves too little to stop all mail to it.

Read from the attempts, and only when such a refusal comes: an accepted message costs nothing here.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Count, Max, Min, QuerySet

from sending.addresses import parse_address
from sending.models import Attempt, Status, first_id_since
from sending.replies import Kind, Verdict

# The first and the last of the counted refusals are at least that far apart.
LEAST_SPAN = {
    Kind.DISABLED: timedelta(days=7),
    Kind.SOFT: timedelta(days=14),
    Kind.DOMAIN: timedelta(hours=1),
}
# What is older tells nothing about the address as it is now.
REMEMBERED = timedelta(days=90)


def is_dead(recipient: str, *, verdict: Verdict, now: datetime) -> bool:
    """Tell whether the address gets no more mail after this refusal, which is recorded already.

    Refusals of the same kind count, since the last message that went through.
    """
    if not verdict.suppress or verdict.suppress == "now":
        return verdict.suppress == "now"
    refusals = _tries(recipient, now=now).filter(kind=verdict.kind)
    if verdict.kind is not Kind.SOFT:
        # A name server that fails for a moment is deferred, and says nothing about the domain.
        refusals = refusals.filter(outcome=Status.BOUNCED)
    success = _last_success(recipient, now=now)
    if success is not None:
        refusals = refusals.filter(started_at__gt=success)
    seen = refusals.aggregate(number=Count("id"), first=Min("started_at"), last=Max("started_at"))
    if seen["number"] < int(verdict.suppress.removeprefix("after_")):
        return False
    return seen["last"] - seen["first"] >= LEAST_SPAN.get(verdict.kind, timedelta(0))


def _last_success(recipient: str, *, now: datetime) -> datetime | None:
    """Return when a message to the address was last accepted and did not come back later."""
    accepted = _tries(recipient, now=now).filter(outcome=Status.SENT)
    returned = (Status.BOUNCED, Status.COMPLAINED)
    kept = accepted.exclude(message__status__in=returned)
    last: datetime | None = kept.aggregate(at=Max("started_at"))["at"]
    return last


def _tries(recipient: str, *, now: datetime) -> QuerySet[Attempt]:
    """Return the tries of the messages to an address, found by its index."""
    written = {recipient, parse_address(recipient).suppression_key}
    since = first_id_since(now - REMEMBERED)
    return Attempt.objects.filter(message__recipient__in=written, message__id__gte=since)
