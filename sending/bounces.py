"""Count the refusals of an address: one alone proves too little to stop all mail to it.

Read from the attempts and from the bounces that were reported later, and only when such a refusal
comes: an accepted message costs nothing here. The only writer of the reported bounces.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Max, QuerySet

from sending.addresses import parse_address
from sending.models import Attempt, ReportedBounce, Status, Suppression, first_id_since
from sending.replies import Kind, Verdict

# The first and the last of the counted refusals are at least that far apart.
LEAST_SPAN = {
    Kind.DISABLED: timedelta(days=7),
    Kind.SOFT: timedelta(days=14),
    Kind.DOMAIN: timedelta(hours=1),
}
# What is older tells nothing about the address as it is now.
REMEMBERED = timedelta(days=90)
# More refusals than that of one address are as good as so many.
COUNTED = 1000


def reason_for(kind: Kind) -> Suppression.Reason:
    """Return why an address that a refusal of this kind has ended gets no more mail."""
    if kind is Kind.SOFT:
        return Suppression.Reason.SOFT_BOUNCES
    return Suppression.Reason.HARD_BOUNCE


def is_dead(recipient: str, *, verdict: Verdict, now: datetime) -> bool:
    """Tell whether the address gets no more mail after this refusal, which is recorded already.

    Refusals of the same kind count, since the last message that went through.
    """
    if not verdict.suppress or verdict.suppress == "now":
        return verdict.suppress == "now"
    success = _last_success(recipient, now=now)
    times = sorted(
        at
        for at in _refused_at(recipient, kind=verdict.kind, now=now)
        if success is None or at > success
    )
    if len(times) < int(verdict.suppress.removeprefix("after_")):
        return False
    return times[-1] - times[0] >= LEAST_SPAN.get(verdict.kind, timedelta(0))


def keep_reported(
    recipient: str,
    *,
    message_id: UUID,
    kind: str,
    enhanced_status: str,
    diagnostic: str,
    now: datetime,
) -> None:
    """Write down that a message came back after it had been accepted, for the count."""
    ReportedBounce.objects.create(
        address=parse_address(recipient).suppression_key,
        message_id=message_id,
        kind=kind,
        enhanced_status=enhanced_status[:12],
        diagnostic=diagnostic.replace("\x00", "")[:1000],
        reported_at=now,
    )


def _refused_at(recipient: str, *, kind: Kind, now: datetime) -> list[datetime]:
    """Return when the address was refused in this way, on the wire or by a report."""
    tries = _tries(recipient, now=now).filter(kind=kind)
    if kind is not Kind.SOFT:
        # A name server that fails for a moment is deferred, and says nothing about the domain.
        tries = tries.filter(outcome=Status.BOUNCED)
    reports = ReportedBounce.objects.filter(
        address=parse_address(recipient).suppression_key,
        kind=kind,
        reported_at__gt=now - REMEMBERED,
    )
    newest = reports.order_by("-reported_at").values_list("reported_at", flat=True)
    newest_tries = tries.order_by("-started_at").values_list("started_at", flat=True)
    return [*newest_tries[:COUNTED], *newest[:COUNTED]]


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
