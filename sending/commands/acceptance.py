"""Take requests in: check them, store them durably, ring the bell."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import transaction

from apikeys.commands import take_quota
from apikeys.models import ApiKey
from sending import ledger, screening
from sending.addresses import Address
from sending.commands.requests import (
    Rejection,
    check_request,
    check_total,
    despite_of,
    nothing_left,
    profile_of,
    read_recipient,
    read_recipients,
    without_content,
)
from sending.errors import InvalidRecipient, SendingError, SuppressedRecipient
from sending.models import (
    Message,
    Priority,
    SendingProfile,
    Status,
    TemplateVersion,
    new_message_id,
)
from sending.pseudonyms import is_pseudonym
from sending.screening import Verdict
from sending.tasks import ring


@dataclass(frozen=True, slots=True)
class BatchReceipt:
    """What became of a batch at acceptance."""

    batch_id: UUID
    queued: Sequence[UUID]
    rejected: Sequence[Rejection]


def accept_one(
    *,
    key: ApiKey,
    recipient: Any,
    addresser: Any = None,
    attribs: Any = None,
    version: TemplateVersion | None = None,
    track_opens: Any = None,
    track_clicks: Any = None,
    tags: Any = None,
    variant: Any = None,
) -> UUID:
    """Store one message durably and return its id; the mail leaves within a second.

    `version`: send this wording, with its own subject, instead of what the key sends.
    `track_opens`, `track_clicks`: None for what the key says. `tags`, `variant`: what tells the
    figures of this mail from those of others.
    Raises a SendingError or apikeys' QuotaExceeded when it cannot be accepted. A suppressed
    recipient is written down as such, and refused.
    """
    profile = profile_of(key)
    address = read_recipient(recipient)
    try:
        request = check_request(
            profile,
            addresser=addresser,
            attribs=attribs,
            version=version,
            track_opens=track_opens,
            track_clicks=track_clicks,
            tags=tags,
            variant=variant,
        )
    except SendingError:
        _refuse_suppressed(profile, [address])  # the recipient's fault is told first
        raise
    intake = request.intake([address], priority=Priority.SINGLE)
    blocked = _take_in(intake, key=key)
    if blocked:
        _write_suppressed(profile, _verdicts(intake, blocked))
        raise SuppressedRecipient(f"Invalid recipient: {next(iter(blocked.values()))}")
    return next(iter(intake.recipients))


def accept_message(**request: Any) -> Message:
    """Accept as `accept_one` and return the whole message, for callers that show it."""
    return Message.objects.get(pk=accept_one(**request))


def accept_batch(
    *,
    key: ApiKey,
    recipients: Any,
    addresser: Any = None,
    attribs: Any = None,
    track_opens: Any = None,
    track_clicks: Any = None,
    tags: Any = None,
    variant: Any = None,
) -> BatchReceipt:
    """Store a message for each valid recipient, all or none; say which were not valid.

    What was stored is one batch, known by an id.
    Addresses that differ only in case count once. Raises InvalidRecipient when nothing is left
    to send, else as `accept_one`.
    """
    profile = profile_of(key)
    addresses, rejected = read_recipients(recipients)
    if not addresses:
        raise InvalidRecipient(nothing_left(rejected))
    try:
        request = check_request(
            profile,
            addresser=addresser,
            attribs=attribs,
            track_opens=track_opens,
            track_clicks=track_clicks,
            tags=tags,
            variant=variant,
        )
        check_total(request.attribs, recipients=len(addresses))
    except SendingError:
        _refuse_suppressed(profile, addresses.values())  # as in `accept_one`
        raise
    batch_id = new_message_id()
    intake = request.intake(addresses.values(), priority=Priority.BATCH, batch_id=batch_id)
    with transaction.atomic():
        blocked = _take_in(intake, key=key)
        _write_suppressed(profile, _verdicts(intake, blocked))
    rejected += [
        Rejection(
            intake.recipients[identity].address,
            SuppressedRecipient.code,
            f"Invalid recipient: {verdict}",
        )
        for identity, verdict in blocked.items()
    ]
    queued = [identity for identity in intake.recipients if identity not in blocked]
    if not queued:
        raise InvalidRecipient(nothing_left(rejected))
    return BatchReceipt(batch_id, queued, rejected)


def resend(message_ids: Sequence[UUID], *, by: str) -> int:
    """Queue ended messages once more, under their Message-ID; return how many could be.

    One whose recipient gets no mail stays as it ended: lift the suppression first.
    """
    blocked = screening.screen(Message.objects.filter(id__in=message_ids).only(*screening.SCREENED))
    allowed = [message_id for message_id in message_ids if message_id not in blocked]
    moved = ledger.requeue(allowed, detail=f"Sent again by {by}.")
    transaction.on_commit(ring)
    return moved


def cancel(message_ids: Sequence[UUID], *, by: str) -> int:
    """Stop messages that still wait; return how many did."""
    return ledger.cancel(message_ids, detail=f"Canceled by {by}.")


def mark_delivered(message_ids: Sequence[UUID], *, by: str) -> int:
    """Settle unknown messages that somebody knows to have arrived; return how many were unknown."""
    return ledger.mark_delivered(message_ids, detail=f"Marked delivered by {by}.")


def _take_in(intake: ledger.Intake, *, key: ApiKey) -> ledger.Blocked:
    """Store what may be sent, and count it against the quota; return what may not."""
    if key.quota_per_day is None:
        blocked = ledger.take_in(intake)
    else:
        with transaction.atomic():
            blocked = ledger.take_in(intake)
            stored = len(intake.recipients) - len(blocked)
            take_quota(key=key, count=stored, now=ledger.database_now())
    if len(blocked) < len(intake.recipients):
        transaction.on_commit(ring)
    return blocked


def _refuse_suppressed(profile: SendingProfile, addresses: Collection[Address]) -> None:
    """Raise SuppressedRecipient when standing orders block all the addresses."""
    keys = {address.suppression_key for address in addresses}
    verdicts = screening.decide(keys, despite=despite_of(profile))
    if len(verdicts) < len(addresses):
        return
    blocked = [(address, verdicts[address.suppression_key]) for address in addresses]
    _write_suppressed(profile, blocked)
    raise SuppressedRecipient(f"Invalid recipient: {blocked[0][1]}")


def _verdicts(intake: ledger.Intake, blocked: ledger.Blocked) -> list[tuple[Address, Verdict]]:
    return [(intake.recipients[identity], verdict) for identity, verdict in blocked.items()]


def _write_suppressed(profile: SendingProfile, blocked: Iterable[tuple[Address, Verdict]]) -> None:
    """Keep a record of what was refused because of a standing order, without its content."""
    reasons = dict(blocked)
    if not reasons:
        return
    intake = without_content(profile).intake(reasons, priority=Priority.SINGLE)
    messages = intake.messages(now=ledger.database_now())
    for message, verdict in zip(messages, reasons.values(), strict=True):
        if is_pseudonym(verdict.rule):  # whoever was forgotten is not to be known again
            message.recipient, verdict = verdict.rule, replace(verdict, address=verdict.rule)
        message.status = Status.SUPPRESSED
        message.reason = str(verdict)
        message.next_attempt_at = None
    ledger.accept(messages)
