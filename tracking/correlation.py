"""Find the message that a mailed report is about, and how much is proven.

Proven is what only somebody who got the message can know: our signed return-path, or its Message-ID
or envelope id, both with a secret part, together with the recipient's address
(docs/decisions/0011).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.conf import settings

from sending import return_path
from sending.models import Message
from tracking import outcomes
from tracking.reading import Finding, Reading, ReadingKind, read_report
from tracking.reports import Report

log = logging.getLogger(__name__)

_KINDS = {
    ReadingKind.BOUNCE: "bounced",
    ReadingKind.DELAYED: "deferred",
    ReadingKind.DELIVERED: "delivered",
    ReadingKind.COMPLAINT: "complained",
    ReadingKind.AUTO_REPLY: "autoresponded",
    ReadingKind.UNKNOWN: "unknown",
}
NOT_UNDERSTOOD = "A mail came to the return-path that is no report; nothing follows from it."
_UUID = re.compile(r"<?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:[.@>]|$)", re.IGNORECASE)
_XTEXT = re.compile(r"\+([0-9A-F]{2})")


def take_report(content: bytes, *, recipients: Sequence[str] = (), now: datetime) -> list[Report]:
    """Read a mailed report and write it down; return what was understood of messages of ours.

    `recipients`: the envelope recipients, if known. Idempotent: the same mail may come again.
    """
    reading = read_report(content)
    reports = reports_of(reading, recipients=recipients, now=now)
    if reports:
        outcomes.record_reports(reports)
    else:
        log.info("A mail to a report address is about no message: %s", reading.kind)
    return reports


def reports_of(reading: Reading, *, recipients: Sequence[str], now: datetime) -> list[Report]:
    """Return a report for each finding about a message of ours."""
    message = _message_signed([*recipients, *reading.about.paths])
    told = [finding for finding in reading.findings if finding.kind is not ReadingKind.UNKNOWN]
    if message is not None:
        told = told or list(reading.findings)
        chosen = _about_recipient(told, message) or told
        return [_report(chosen[0], message, reading, is_proven=True, now=now)]
    message = _message_named(reading) if told else None
    if message is None:
        return []
    about = _about_recipient(told, message)
    if told[0].kind is ReadingKind.AUTO_REPLY:
        about = told
    return [_report((about or told)[0], message, reading, is_proven=bool(about), now=now)]


def signed_id(addresses: Iterable[str]) -> UUID | None:
    """Return the id in the first address that is a return-path of ours."""
    keys = [key.encode() for key in settings.SIGNING_KEYS]
    found = (return_path.decode(address, keys=keys) for address in addresses)
    return next((one for one in found if one is not None), None)


def _message_signed(addresses: Iterable[str]) -> Message | None:
    message_id = signed_id(addresses)
    return Message.objects.filter(pk=message_id).first() if message_id else None


def _message_named(reading: Reading) -> Message | None:
    """Return the message by its envelope id, else by the Message-ID of what was returned."""
    # Both in whole: the id alone, which begins them, stands in every tracked link.
    envelope_id = reading.envelope_id.strip().casefold()
    candidates = [envelope_id, *reading.about.message_ids]
    named = [match[1] for one in candidates if (match := _UUID.match(one))]
    found = Message.objects.in_bulk([UUID(one) for one in dict.fromkeys(named)])
    for message in found.values():
        if message.message_id in candidates or message.message_id.startswith(f"<{envelope_id}@"):
            return message
    return None


def _about_recipient(told: Sequence[Finding], message: Message) -> list[Finding]:
    """Return the findings that name the recipient of the message."""
    wanted = message.recipient.casefold()
    return [one for one in told if wanted in _spellings(one.recipient)]


def _spellings(address: str) -> set[str]:
    """Return the address as it is and as xtext, which some servers do not undo (RFC 3461)."""
    plain = _XTEXT.sub(lambda match: chr(int(match[1], 16)), address)
    return {address.casefold(), plain.casefold()}


def _report(
    finding: Finding, message: Message, reading: Reading, *, is_proven: bool, now: datetime
) -> Report:
    is_unknown = finding.kind is ReadingKind.UNKNOWN
    return Report(
        kind=_KINDS[finding.kind],
        message_id=message.id,
        recipient=finding.recipient,
        occurred_at=now,
        key=f"mail:{reading.identity}",
        bounce_class=finding.bounce_class if finding.kind is ReadingKind.BOUNCE else "",
        suppress=finding.suppress,
        enhanced_status=finding.reply.enhanced,
        diagnostic=str(finding.reply) or (NOT_UNDERSTOOD if is_unknown else ""),
        is_proven=is_proven,
    )
