"""Turn reports into facts in the ledger, and into what follows for the address and the sender."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from sending import blocks, bounces, ledger, suppressions
from sending.ledger import Fact
from sending.models import Message, Status, Suppression
from sending.pseudonyms import is_pseudonym
from sending.replies import REJECTED, Kind, Verdict
from sending.suppressions import NewOrder
from tracking import visits
from tracking.events import record_hits
from tracking.hits import CLICKED, OPENED, Hit
from tracking.reports import Report

_STATUS = {
    "sent": Status.SENT,
    "failed": Status.FAILED,
    "rejected": Status.REJECTED,
    "delivered": Status.DELIVERED,
    "bounced": Status.BOUNCED,
    "complained": Status.COMPLAINED,
}
_HITS = (OPENED, CLICKED)
# A client that nobody names is a person or a machine, and counts as neither: it has the form of a
# browser's name, for a click without one counts as a machine's.
NOT_TOLD = "Mozilla/5.0 (not told by the provider)"
_REFUSED = ("bounced", "rejected")
_SUPPRESSES = {
    "complained": Suppression.Reason.COMPLAINT,
    "unsubscribed": Suppression.Reason.UNSUBSCRIBED,
}


def record_reports(reports: Sequence[Report]) -> None:
    """Write down what was told, and suppress the addresses that it ends; all or nothing.

    Idempotent by the reports' keys. A report about no message of ours, or that is not proven,
    changes neither a message nor an address.
    """
    known = [report for report in reports if report.message_id is not None]
    hits = [_hit(report) for report in known if report.kind in _HITS]
    facts = [(_fact(report), report) for report in known if report.kind not in _HITS]
    by_name = {(fact.message_id, fact.kind, fact.key): report for fact, report in facts}
    with transaction.atomic():
        ledger.hold({fact.message_id for fact, _ in facts} | {hit.message_id for hit in hits})
        record_hits(hits)
        new = ledger.report([fact for fact, _ in facts])
        visits.reconsider([fact.message_id for fact, _ in new if fact.kind == "delivered"])
        messages = Message.objects.only("id", "recipient", "sender_address", "recipient_domain")
        found = messages.in_bulk([fact.message_id for fact, _ in new])
        told = [
            (by_name[fact.message_id, fact.kind, fact.key], found[fact.message_id])
            for fact, _ in new
        ]
        _draw_consequences(
            [
                (report, message)
                for report, message in told
                if report.is_proven and not is_pseudonym(message.recipient)
            ]
        )


def _hit(report: Report) -> Hit:
    """Return an open or a click that a provider saw; it tells little of who it was."""
    assert report.message_id is not None  # noqa: S101 - for the type checker
    return Hit(
        kind=report.kind,
        message_id=report.message_id,
        link_id=None,
        at=report.occurred_at,
        ip=report.ip,
        user_agent=report.user_agent or NOT_TOLD,
        method="GET",
        has_accept=True,
        purpose="",
        key=report.key,
        url=report.url,
    )


def _fact(report: Report) -> Fact:
    assert report.message_id is not None  # noqa: S101 - for the type checker
    if not report.is_proven:
        return Fact(
            message_id=report.message_id,
            kind="unknown",
            occurred_at=report.occurred_at,
            key=report.key,
            detail=f"Told without proof, so nothing was changed: {report.kind}. {report.words}",
        )
    status = _STATUS.get(report.kind)
    if report.kind == "bounced" and report.bounce_class in REJECTED:
        status = Status.REJECTED
    return Fact(
        message_id=report.message_id,
        kind=report.kind,
        occurred_at=report.occurred_at,
        key=report.key,
        status=status,
        detail=report.words,
    )


def _draw_consequences(told: Sequence[tuple[Report, Message]]) -> None:
    """Suppress the addresses that are at their end, and count what may end an address or us."""
    now = timezone.now()
    refusals, orders = [], []
    for report, message in told:
        if report.kind in _REFUSED and report.bounce_class:
            kind = Kind(report.bounce_class)
            if kind is Kind.POLICY:
                refusals.append(_refusal(report, message))
            if _is_dead(report, message, kind=kind, now=now):
                orders.append(_order(report, message, reason=bounces.reason_for(kind)))
        elif report.kind in _SUPPRESSES:
            orders.append(_order(report, message, reason=_SUPPRESSES[report.kind]))
    blocks.note(refusals, now=now)
    suppressions.suppress_many(orders, now=now)


def _refusal(report: Report, message: Message) -> blocks.Refusal:
    sender_domain = message.sender_address.rpartition("@")[2]
    return blocks.Refusal(sender_domain, message.recipient_domain, report.words)


def _is_dead(report: Report, message: Message, *, kind: Kind, now: datetime) -> bool:
    """Count a bounce against the address; tell whether it was one too many."""
    bounces.keep_reported(
        message.recipient,
        message_id=message.id,
        kind=kind,
        enhanced_status=report.enhanced_status,
        diagnostic=report.diagnostic,
        now=now,
    )
    verdict = Verdict(kind, report.kind, report.suppress, "reported")
    return bounces.is_dead(message.recipient, verdict=verdict, now=now)


def _order(report: Report, message: Message, *, reason: Suppression.Reason) -> NewOrder:
    # The address that we sent to: what a report names may be where that was forwarded to.
    return NewOrder(
        address=suppressions.key_of(message.recipient),
        reason=reason,
        note=report.words,
        source=message,
    )
