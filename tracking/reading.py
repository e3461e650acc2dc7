"""Tell what a mail that came to a report address is: the one place that knows all forms.

Structured reports come first (complaint, DSN), for they name themselves; then bounces in words,
if a mail system wrote them; then automatic answers. The rest is unknown and changes nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from email.message import Message
from enum import StrEnum

from sending.errors import Reply
from tracking import arf, dsn, mail, returned, wordings
from tracking.arf import Feedback
from tracking.auto_replies import is_auto_reply
from tracking.dsn import Delivery
from tracking.returned import Returned
from tracking.verdicts import verdict_of


class ReadingKind(StrEnum):
    """What a mail reports."""

    BOUNCE = "bounce"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    COMPLAINT = "complaint"
    AUTO_REPLY = "auto_reply"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is reported of one recipient; `bounce_class` is a word of `sending.replies.Kind`.

    `suppress` is as in `sending.replies.Verdict`. `recipient` may be empty.
    """

    kind: ReadingKind
    recipient: str = ""
    bounce_class: str = ""
    suppress: str = ""
    reply: Reply = field(default_factory=Reply)
    action: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One mail, read: `findings` is never empty; the gravest comes first.

    `identity` is equal for the same report received twice.
    """

    findings: tuple[Finding, ...]
    about: Returned
    envelope_id: str
    identity: str

    @property
    def kind(self) -> ReadingKind:
        """What the mail is, as a whole."""
        return self.findings[0].kind


_GRAVITY = {kind: number for number, kind in enumerate(ReadingKind)}
_OF_ACTION = {
    "failed": ReadingKind.BOUNCE,
    "delayed": ReadingKind.DELAYED,
    "delivered": ReadingKind.DELIVERED,
}


def read_report(content: bytes) -> Reading:
    """Return what the mail reports; never raises, whatever the bytes are."""
    message = mail.read(content)
    findings, about, envelope_id = _read(message)
    for inner in mail.attached(message):
        if findings[0].kind is not ReadingKind.UNKNOWN:
            break
        # A gateway may forward a report instead of passing it on.
        findings, about, envelope_id = _read(inner)
    return Reading(
        findings=tuple(sorted(findings, key=lambda one: _GRAVITY[one.kind])),
        about=about,
        envelope_id=envelope_id,
        identity=_identity(message, content),
    )


def _read(message: Message) -> tuple[list[Finding], Returned, str]:
    """Return the findings, what they are about, and the ENVID if there is one."""
    about = returned.look(message)
    feedback = arf.parse(message)
    if feedback is not None:
        about = replace(about, paths=(feedback.envelope_sender, *about.paths))
        return [_complaint(feedback, about)], about, ""
    report = dsn.parse(message)
    if report is not None:
        deliveries = [wordings.completed(one, message) for one in report.deliveries]
        return [_finding(one, about) for one in deliveries], about, report.envelope_id
    failed = wordings.parse(message)
    if failed:
        return [_finding(one, about) for one in failed], about, ""
    if is_auto_reply(message):
        sender = next(iter(mail.addresses(mail.header(message, "From"))), "")
        text = mail.header(message, "Subject")
        return [Finding(ReadingKind.AUTO_REPLY, sender, reply=Reply(text=text))], about, ""
    return [Finding(ReadingKind.UNKNOWN)], about, ""


def _complaint(feedback: Feedback, about: Returned) -> Finding:
    recipient = feedback.recipient or next(iter(about.recipients), "")
    reply = Reply(text=mail.one_line(f"{feedback.kind} {feedback.user_agent}"))
    if feedback.is_complaint:
        return Finding(ReadingKind.COMPLAINT, recipient, "complaint", reply=reply)
    return Finding(ReadingKind.UNKNOWN, recipient, reply=reply)


def _finding(delivery: Delivery, about: Returned) -> Finding:
    kind = _OF_ACTION.get(delivery.action, ReadingKind.UNKNOWN)
    # A report that leaves out the address returns a mail that was to one only.
    recipient = delivery.recipient or next(iter(about.recipients), "")
    if kind not in (ReadingKind.BOUNCE, ReadingKind.DELAYED):
        return Finding(kind, recipient, reply=delivery.reply, action=delivery.action)
    verdict = verdict_of(delivery)
    return Finding(
        kind, recipient, verdict.kind, verdict.suppress, delivery.reply, action=delivery.action
    )


def _identity(message: Message, content: bytes) -> str:
    """Name the report by its own Message-ID, or by its bytes; trace fields differ each time."""
    own = mail.header(message, "Message-ID")
    _, _, body = content.replace(b"\r\n", b"\n").partition(b"\n\n")
    return hashlib.sha256(own.encode("utf-8", "replace") or body).hexdigest()[:32]
