"""Turn anymail's events, one language for all providers, into reports."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from anymail.signals import AnymailTrackingEvent, EventType, RejectReason, tracking
from django.dispatch import receiver
from django.utils import timezone

from sending.ledger import KINDS
from sending.models import Attempt
from sending.replies import Kind, Verdict
from tracking import mail, outcomes
from tracking.dsn import Delivery, reply_in
from tracking.reports import Report
from tracking.verdicts import verdict_of

_HITS = (EventType.OPENED, EventType.CLICKED)
_OF_REASON = {
    RejectReason.INVALID: (Kind.HARD, "now"),
    RejectReason.BOUNCED: (Kind.UNDETERMINED, "after_3"),
    RejectReason.TIMED_OUT: (Kind.TRANSIENT, ""),
}
_ABOUT_SENDER = (RejectReason.BLOCKED, RejectReason.SPAM)

_collected: ContextVar[list[Report] | None] = ContextVar("collected", default=None)


@contextlib.contextmanager
def collecting() -> Iterator[list[Report]]:
    """Gather what the events tell meanwhile, instead of writing each down by itself."""
    reports: list[Report] = []
    token = _collected.set(reports)
    try:
        yield reports
    finally:
        _collected.reset(token)


@receiver(tracking, dispatch_uid="tracking.receivers.take_event")
def take_event(sender: object, event: AnymailTrackingEvent, esp_name: str, **kwargs: Any) -> None:
    """Note one event of a provider."""
    report = report_of(event, esp_name=esp_name)
    reports = _collected.get()
    if reports is None:
        outcomes.record_reports([report])
    else:
        reports.append(report)


def report_of(event: AnymailTrackingEvent, *, esp_name: str) -> Report:
    """Return what the event tells; its message_id is None when it is about none of ours."""
    text = _words(event)
    recipient = str(event.recipient or "")
    reply = reply_in(text)
    kind = event.event_type if event.event_type in KINDS else EventType.UNKNOWN
    if kind == EventType.FAILED and reply.code >= 500:
        kind = EventType.BOUNCED  # it did reach a server, which refused it
    is_bounce = kind == EventType.BOUNCED
    verdict = _verdict(event, Delivery(recipient, "failed", reply)) if is_bounce else None
    return Report(
        kind=kind,
        message_id=_message_id(event, recipient),
        recipient=recipient,
        occurred_at=event.timestamp or timezone.now(),
        key=_key(event, esp_name, text),
        bounce_class=verdict.kind if verdict else "",
        suppress=verdict.suppress if verdict else "",
        enhanced_status=reply.enhanced,
        diagnostic=text if kind not in _HITS else "",
        url=str(event.click_url or ""),
        user_agent=str(event.user_agent or ""),
    )


def _words(event: AnymailTrackingEvent) -> str:
    """Return what the server said, else what the provider says of it."""
    told = event.mta_response or event.description or ""
    if not told and isinstance(event.esp_event, dict):
        told = event.esp_event.get("error") or ""
    # "MailboxFull" is two words to whoever judges it.
    return mail.one_line(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(told)))


def _verdict(event: AnymailTrackingEvent, delivery: Delivery) -> Verdict:
    """Judge a bounce by the words of the server, else by the provider's own reason."""
    if event.reject_reason in _ABOUT_SENDER:
        return Verdict(Kind.POLICY, "rejected", "", "the provider's reason")
    verdict = verdict_of(delivery)
    if verdict.kind is not Kind.UNDETERMINED or delivery.reply.code or delivery.reply.enhanced:
        return verdict
    kind, suppress = _OF_REASON.get(event.reject_reason, (Kind.UNDETERMINED, "after_3"))
    text = delivery.reply.text.lower()
    if "hard bounce" in text:
        kind, suppress = Kind.HARD, "now"
    elif text.startswith("transient"):
        kind, suppress = Kind.TRANSIENT, ""
    return Verdict(kind, "bounced", suppress, "the provider's reason")


def _message_id(event: AnymailTrackingEvent, recipient: str) -> UUID | None:
    """Return our id: it travels in the metadata; some providers have none and give only theirs."""
    metadata = event.metadata if isinstance(event.metadata, dict) else {}
    with contextlib.suppress(ValueError):
        return UUID(str(metadata.get("message_id", "")))
    if not recipient or not event.message_id:
        return None
    tries = Attempt.objects.filter(
        message__recipient__in={recipient, recipient.casefold()},
        transport_id=str(event.message_id),
    )
    return tries.values_list("message_id", flat=True).first()


def _key(event: AnymailTrackingEvent, esp_name: str, text: str) -> str:
    """Name the event by what it tells: some providers give a new id with each repetition."""
    if event.timestamp is None and event.event_id:
        return f"{esp_name}:{event.event_id}"
    parts = (
        event.timestamp.isoformat() if event.timestamp else "",
        str(event.recipient or ""),
        text,
        str(event.click_url or ""),
        str(event.user_agent or ""),
    )
    return f"{esp_name}:{hashlib.sha256(chr(0).join(parts).encode('utf-8', 'replace')).hexdigest()}"
