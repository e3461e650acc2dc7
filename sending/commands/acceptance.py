"""Take requests in: check them, store them durably, ring the bell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apikeys.commands import take_quota
from apikeys.models import ApiKey
from apikeys.recent import Recent
from sending import ledger, senders, suppressions
from sending.addresses import Address, InvalidAddress, parse_address
from sending.errors import (
    InvalidAttribs,
    InvalidRecipient,
    MissingVariable,
    NotConfigured,
    SendingError,
    SuppressedRecipient,
    TemplateUnavailable,
)
from sending.models import (
    Message,
    Priority,
    SendingProfile,
    Status,
    TemplateVersion,
    new_message_id,
)
from sending.outgoing import Mailbox
from sending.rendering import Target, compile_source
from sending.routes import route_of
from sending.suppressions import Verdict
from sending.tasks import ring

MAX_RECIPIENTS = 10_000
MAX_ATTRIBS = 100
MAX_ATTRIB_LENGTH = 8 * 1024
MAX_BATCH_ATTRIBS = 64 * 1024 * 1024
NO_SINGLE_ADDRESS = "The recipient must be one address, given as a string."


@dataclass(frozen=True, slots=True)
class Rejection:
    """A recipient of a batch that was not accepted, as it was given, and why."""

    recipient: str
    code: int
    msg: str


@dataclass(frozen=True, slots=True)
class BatchReceipt:
    """What became of a batch at acceptance."""

    queued: Sequence[UUID]
    rejected: Sequence[Rejection]


def accept_message(
    *,
    key: ApiKey,
    recipient: Any,
    addresser: Any = None,
    attribs: Any = None,
    version: TemplateVersion | None = None,
) -> Message:
    """Store one message durably and return it; the mail leaves within a second.

    `version`: send this wording, with its own subject, instead of what the key sends.
    Raises a SendingError or apikeys' QuotaExceeded when it cannot be accepted. A suppressed
    recipient is written down as such, and refused.
    """
    profile = profile_of(key)
    address = _recipient(recipient)
    verdict = suppressions.decide([address.suppression_key]).get(address.suppression_key)
    if verdict:
        _write_suppressed(profile, [(address, verdict)])
        raise SuppressedRecipient(f"Invalid recipient: {verdict}")
    request = _checked(profile, addresser, attribs, version)
    message = _draft(request, address, Priority.SINGLE, now=ledger.database_now())
    _store([message], key=key)
    return message


def accept_batch(
    *, key: ApiKey, recipients: Any, addresser: Any = None, attribs: Any = None
) -> BatchReceipt:
    """Store a message for each valid recipient, all or none; say which were not valid.

    Addresses that differ only in case count once. Raises InvalidRecipient when nothing is left
    to send, else as `accept_message`.
    """
    profile = profile_of(key)
    addresses, rejected = _recipients(recipients)
    verdicts = suppressions.decide(addresses.keys())
    blocked = [(addresses[name], verdict) for name, verdict in verdicts.items()]
    rejected += [
        Rejection(address.address, SuppressedRecipient.code, f"Invalid recipient: {verdict}")
        for address, verdict in blocked
    ]
    allowed = [address for name, address in addresses.items() if name not in verdicts]
    if not allowed:
        _write_suppressed(profile, blocked)
        raise InvalidRecipient(_nothing_left(rejected))
    request = _checked(profile, addresser, attribs)
    _check_total(request.attribs, recipients=len(allowed))
    now = ledger.database_now()
    messages = [_draft(request, address, Priority.BATCH, now=now) for address in allowed]
    with transaction.atomic():
        _write_suppressed(profile, blocked)
        _store(messages, key=key)
    return BatchReceipt([message.id for message in messages], rejected)


def profile_of(key: ApiKey) -> SendingProfile:
    """Return what the key sends; raise TemplateUnavailable when that is nothing."""
    profile = _profiles.get(key.pk)
    template = profile.template if profile else None
    if profile is None or template is None or template.current_version is None:
        raise TemplateUnavailable(
            "Template does not exist: this API key has no template. Choose one in the dashboard."
        )
    if not template.is_active:
        raise TemplateUnavailable(
            f"Template does not exist: {template.name} is disabled. Enable it in the dashboard."
        )
    return profile


def _profile_of(key_id: UUID) -> SendingProfile | None:
    profiles = SendingProfile.objects.select_related("template__current_version", "route")
    return profiles.filter(pk=key_id).first()


_profiles: Recent[UUID, SendingProfile] = Recent(_profile_of)


def resend(message_ids: Sequence[UUID], *, by: str) -> int:
    """Queue ended messages once more, under their Message-ID; return how many could be.

    One whose recipient gets no mail stays as it ended: lift the suppression first.
    """
    keys = {
        message_id: parse_address(recipient).suppression_key
        for message_id, recipient in Message.objects.filter(id__in=message_ids).values_list(
            "id", "recipient"
        )
    }
    verdicts = suppressions.decide(set(keys.values()))
    allowed = [message_id for message_id, key in keys.items() if key not in verdicts]
    moved = ledger.requeue(allowed, detail=f"Sent again by {by}.")
    transaction.on_commit(ring)
    return moved


def cancel(message_ids: Sequence[UUID], *, by: str) -> int:
    """Stop messages that still wait; return how many did."""
    return ledger.cancel(message_ids, detail=f"Canceled by {by}.")


def mark_delivered(message_ids: Sequence[UUID], *, by: str) -> int:
    """Settle unknown messages that somebody knows to have arrived; return how many were unknown."""
    return ledger.mark_delivered(message_ids, detail=f"Marked delivered by {by}.")


@dataclass(frozen=True, slots=True)
class _Request:
    """What all messages of one call have in common, checked."""

    profile: SendingProfile
    version: TemplateVersion
    subject: str
    sender: Mailbox
    message_id_domain: str
    attribs: Mapping[str, Any]


def _checked(
    profile: SendingProfile, addresser: Any, attribs: Any, version: TemplateVersion | None = None
) -> _Request:
    wording, subject = (version, "") if version else _own_wording(profile)
    sender = senders.sender_for(profile, addresser)
    checked = check_attribs(attribs)
    if profile.is_strict:
        _require_variables(wording, subject, checked)
    if route_of(profile) is None:
        raise NotConfigured(
            "Sending failed: no route out is active; nothing was accepted. "
            "Add a default route in the dashboard, or enable it."
        )
    domain = parse_address(sender.address).domain
    return _Request(profile, wording, subject, sender, domain, checked)


def _own_wording(profile: SendingProfile) -> tuple[TemplateVersion, str]:
    """Return what the key sends; `profile_of` has made sure that there is something."""
    return profile.template.current_version, profile.subject  # type: ignore[union-attr,return-value]


def _recipient(given: Any) -> Address:
    if not isinstance(given, str) or not given.strip():
        raise InvalidRecipient(f"Invalid recipient: {NO_SINGLE_ADDRESS}")
    try:
        return parse_address(given)
    except InvalidAddress as error:
        raise InvalidRecipient(f"Invalid recipient: {error}") from None


def _recipients(given: Any) -> tuple[dict[str, Address], list[Rejection]]:
    if not isinstance(given, list):
        raise InvalidRecipient("Invalid recipient: recipients must be a list of addresses.")
    if len(given) > MAX_RECIPIENTS:
        raise InvalidRecipient(
            f"Invalid recipient: {len(given)} recipients in one call; {MAX_RECIPIENTS} are allowed."
        )
    addresses: dict[str, Address] = {}
    rejected = []
    for one in given:
        try:
            address = _recipient(one)
        except InvalidRecipient as error:
            shown = one if isinstance(one, str) else repr(one)
            rejected.append(Rejection(shown[:320], error.code, str(error)))
        else:
            addresses.setdefault(address.suppression_key, address)
    return addresses, rejected


def _nothing_left(rejected: Sequence[Rejection]) -> str:
    if not rejected:
        return "Invalid recipient: recipients is empty."
    return f"Invalid recipient: none of the {len(rejected)} is valid. First: {rejected[0].msg}"


def check_attribs(attribs: Any) -> dict[str, Any]:
    """Return the template variables; raise InvalidAttribs unless they are an object of scalars."""
    if attribs is None:
        return {}
    if not isinstance(attribs, dict):
        raise InvalidAttribs('Sending failed: attribs must be an object, as in {"name": "Ann"}.')
    if len(attribs) > MAX_ATTRIBS:
        raise InvalidAttribs(
            f"Sending failed: attribs has {len(attribs)} variables; {MAX_ATTRIBS} are allowed."
        )
    for name, value in attribs.items():
        _check_attrib(name, value)
    return attribs


def _check_total(attribs: Mapping[str, Any], *, recipients: int) -> None:
    """Refuse a batch that would store the same long attribs again and again."""
    total = recipients * sum(len(name) + len(str(value)) for name, value in attribs.items())
    if total > MAX_BATCH_ATTRIBS:
        raise InvalidAttribs(
            f"Sending failed: attribs for {recipients} recipients are {total} characters; "
            f"{MAX_BATCH_ATTRIBS} are allowed. Send fewer recipients in one call."
        )


def _check_attrib(name: str, value: Any) -> None:
    if not isinstance(value, (str, int, float, bool, type(None))):
        raise InvalidAttribs(
            f"Sending failed: attribs.{name[:80]} must be a text, a number, true, false or null."
        )
    if max(len(name), len(value) if isinstance(value, str) else 0) > MAX_ATTRIB_LENGTH:
        raise InvalidAttribs(
            f"Sending failed: attribs.{name[:80]} is longer than {MAX_ATTRIB_LENGTH} characters."
        )


def _require_variables(version: TemplateVersion, subject: str, attribs: Mapping[str, Any]) -> None:
    """Render once without sending: only that tells which variables this request really needs."""
    values = {"API": attribs, "Subscriber": {"Email": ""}, "Task": {}, "UnsubscribeURL": ""}
    sources = (
        (subject or version.subject, Target.SUBJECT),
        (version.html, Target.HTML),
        (version.text, Target.TEXT),
    )
    for source, target in sources:
        try:
            compile_source(source, target=target).render(values, strict=True)
        except MissingVariable as error:
            raise InvalidAttribs(f"Sending failed: {error}") from None
        except SendingError as error:
            raise InvalidAttribs(f"Sending failed: the template cannot be used: {error}") from None


def _draft(request: _Request, address: Address, priority: Priority, *, now: datetime) -> Message:
    profile = request.profile
    identity = new_message_id()
    return Message(
        id=identity,
        api_key_id=profile.pk,
        template_version=request.version,
        stream=profile.stream,
        recipient=address.address,
        recipient_domain=address.domain,
        sender_address=request.sender.address,
        sender_name=request.sender.name,
        reply_to=profile.reply_to,
        subject=request.subject,
        attribs=request.attribs,
        has_unsubscribe_link=profile.has_unsubscribe_link,
        message_id=f"<{identity}@{request.message_id_domain}>",
        priority=priority,
        status=Status.QUEUED,
        accepted_at=now,
        status_at=now,
        next_attempt_at=now,
        expires_at=now + timedelta(hours=settings.QUEUE_LIFETIME_HOURS),
    )


def _store(messages: Sequence[Message], *, key: ApiKey) -> None:
    with transaction.atomic():
        take_quota(key=key, count=len(messages), now=messages[0].accepted_at)
        ledger.accept(messages)
        transaction.on_commit(ring)


def _write_suppressed(profile: SendingProfile, blocked: Iterable[tuple[Address, Verdict]]) -> None:
    """Keep a record of what was refused because of a standing order, without its content."""
    now = ledger.database_now()
    sender = Mailbox(profile.sender_address)
    request = _Request(profile, *_own_wording(profile), sender, "suppressed.invalid", {})
    messages = []
    for address, verdict in blocked:
        message = _draft(request, address, Priority.SINGLE, now=now)
        message.status = Status.SUPPRESSED
        message.reason = str(verdict)
        message.next_attempt_at = None
        messages.append(message)
    if messages:
        ledger.accept(messages)
